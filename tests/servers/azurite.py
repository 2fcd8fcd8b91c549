"""A real Azure Blob server, Azurite, on loopback for as long as a `with` block."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import pytest
import trustme

START_LIMIT_S = 60.0
CONTAINER = "test"
ACCOUNT = "devstoreaccount1"  # Azurite's own, with its well-known key
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
KEYS = {"account_key": KEY}
INSTALL = "CI=true make setup (needs npm)"
_PROGRAM = Path(sys.prefix) / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


def need_program() -> list[str]:
    """Skips the test where Azurite is missing, and says how to get it; in CI nothing is skipped."""
    node = shutil.which("node")
    if node is not None and _PROGRAM.exists():
        return [node, str(_PROGRAM)]
    missing = f"there is no Azurite here: {INSTALL}"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@dataclass(frozen=True)
class AzureServer:
    """`tls`: what reaches it; None: it speaks plain HTTP."""

    port: int
    tls: ssl.SSLContext | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    def url(self, container: str = CONTAINER, prefix: str = "") -> str:
        return f"az://{container}/{prefix}?account={ACCOUNT}&endpoint={self.endpoint}&allow_http=true"

    def create_container(self, name: str) -> int:
        """The HTTP status. Signed by hand: the client library has no call for it."""
        date, version = formatdate(usegmt=True), "2021-08-06"
        resource = f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n{resource}"
        mac = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
        signature = f"SharedKey {ACCOUNT}:{base64.b64encode(mac).decode()}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_LIMIT_S)
        if self.tls is not None:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=START_LIMIT_S, context=self.tls
            )
        try:
            headers = {"x-ms-date": date, "x-ms-version": version, "Authorization": signature}
            connection.request("PUT", f"/{ACCOUNT}/{name}?restype=container", headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()


@contextmanager
def azurite(folder: Path, authority: trustme.CA | None = None) -> Iterator[AzureServer]:
    """Starts it with one empty container, all in memory; ends it by its pid. With an `authority` it speaks
    TLS and takes tokens, whose signatures it does not check."""
    command = need_program()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = AzureServer(
            free.getsockname()[1], None if authority is None else ssl.create_default_context()
        )
    if authority is not None and server.tls is not None:
        authority.configure_trust(server.tls)
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_pem.write_to_path(folder / "azurite.key")
        certificate.cert_chain_pems[0].write_to_path(folder / "azurite.pem")
        command += ["--cert", str(folder / "azurite.pem"), "--key", str(folder / "azurite.key")]
        command += ["--oauth", "basic"]
    command += ["--blobHost", "127.0.0.1", "--blobPort", str(server.port), "--inMemoryPersistence"]
    command += ["--skipApiVersionCheck", "--silent", "--disableTelemetry"]
    log = folder / "azurite.log"
    with log.open("wb") as out:
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder)}
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, env=environment)
    try:
        _await(server, process, log)
        yield server
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def _await(server: AzureServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"Azurite ended: {log.read_text()[-2000:]}"
        try:
            status = server.create_container(CONTAINER)
        except OSError:
            time.sleep(0.1)
            continue
        assert status == 201, f"Azurite made no container: {status}"
        return
    raise AssertionError(f"Azurite did not start in {START_LIMIT_S} s: {log.read_text()[-2000:]}")
