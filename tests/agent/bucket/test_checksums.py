"""What vouches for the bytes on the wire: over TLS a checksum, without it a signature over the payload."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from outlast.bucket.client import open_bucket
from outlast.bucket.transfer import PART_BYTES

KEYS = {"access_key_id": "any", "secret_access_key": "any"}
BODY = b"a checkpoint, or a part of it"
REFLECTED = 0x9A6C9329AC4BC9B5  # the polynomial of CRC-64/NVME


def crc64nvme(data: bytes) -> str:
    """As the header has it."""
    crc = (1 << 64) - 1
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (REFLECTED if crc & 1 else 0)
    return base64.b64encode((crc ^ (1 << 64) - 1).to_bytes(8, "big")).decode()


BEGUN = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
COMPLETED = b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"


@dataclass
class Heard:
    """Of each write, its headers and how long it was."""

    endpoint: str = ""
    writes: list[tuple[str, dict[str, str], int]] = field(default_factory=list)


@pytest.fixture(params=["https", "http"])
def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Heard]:
    heard = Heard()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            heard.writes.append((f"{self.command} {self.path}", headers, length))
            body = b"" if self.command == "PUT" else COMPLETED if "uploadId" in self.path else BEGUN
            self.send_response(200)
            self.send_header("ETag", '"e"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class says so
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if request.param == "https":
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        http.socket = context.wrap_socket(http.socket, server_side=True)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    heard.endpoint = f"{request.param}://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        http.shutdown()
        http.server_close()
        thread.join(10)


@dataclass(frozen=True)
class Zeros:
    """A source of nothing but zeros."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        return bytes(length)


def url(server: Heard, more: str = "") -> str:
    plain = "&allow_http=true" if server.endpoint.startswith("http:") else ""
    return f"s3://test?endpoint={server.endpoint}{plain}{more}"


def test_the_checksum_is_that_of_the_check_value() -> None:
    assert crc64nvme(b"123456789") == base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode()


def test_small_and_big_objects_carry_what_the_store_can_verify(server: Heard) -> None:
    bucket = open_bucket(url(server), options=KEYS)
    bucket.put("small", BODY)
    bucket.upload("big", Zeros(2 * PART_BYTES + 5), lambda done: None)
    data = [(headers, length) for line, headers, length in server.writes if line.startswith("PUT")]
    assert sorted(length for _, length in data) == [5, len(BODY), PART_BYTES, PART_BYTES]
    for headers, length in data:
        if server.endpoint.startswith("https:"):
            assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
            if length < PART_BYTES:
                body = BODY if length == len(BODY) else bytes(length)
                assert headers["x-amz-checksum-crc64nvme"] == crc64nvme(body)
            assert "x-amz-checksum-crc64nvme" in headers
        else:
            assert len(headers["x-amz-content-sha256"]) == 64


def test_a_store_without_that_checksum_gets_a_signature(server: Heard) -> None:
    open_bucket(url(server, "&checksum=signature"), options=KEYS).put("small", BODY)
    ((_, headers, _),) = server.writes
    assert len(headers["x-amz-content-sha256"]) == 64
    assert "x-amz-checksum-crc64nvme" not in headers


def test_another_word_is_refused(server: Heard) -> None:
    with pytest.raises(ValueError, match="crc64nvme or signature"):
        open_bucket(url(server, "&checksum=md5"), options=KEYS)
