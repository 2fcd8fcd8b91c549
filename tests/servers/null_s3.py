"""A server that takes everything and keeps nothing, written in C so that the client is what is measured."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

SOURCE = Path(__file__).with_suffix(".c")


@dataclass(frozen=True)
class NullS3:
    """Answers each GET with the bytes of the file that it was started with."""

    endpoint: str
    ca_file: str  # "": it speaks plain HTTP
    pid: int

    def url(self, prefix: str = "") -> str:
        plain = "" if self.ca_file else "&allow_http=true"
        return f"s3://test/{prefix}?endpoint={self.endpoint}{plain}"


@contextmanager
def null_s3(folder: Path, data: Path, *, tls: bool) -> Iterator[NullS3]:
    """Compiles and runs it, with `folder` for its files. Raises RuntimeError without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("the null server is compiled here: install gcc and libssl-dev")
    program = folder / "null_s3"
    subprocess.run([compiler, "-O2", "-pthread", "-o", program, SOURCE, "-lssl", "-lcrypto"], check=True)
    arguments, ca_file = [str(program), str(data)], ""
    if tls:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        issued = authority.issue_cert("127.0.0.1", "localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
        arguments += [str(folder / "server.pem")] * 2
        ca_file = str(folder / "ca.pem")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        try:
            yield NullS3(f"{'https' if tls else 'http'}://127.0.0.1:{port}", ca_file, server.pid)
        finally:
            server.kill()
