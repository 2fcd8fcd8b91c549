"""An S3 server in memory that takes objects whole or in parts, over TLS if wished, and may stop to do so."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

BEGUN = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
COMPLETED = b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"


@dataclass(frozen=True)
class Write:
    """One request with a body, or without: its first line, its headers in lower case, its length."""

    line: str
    headers: dict[str, str]
    length: int


@dataclass
class PartsS3:
    """`left`: so many writes are taken yet; then each is refused with `code`. None: no end."""

    endpoint: str = ""
    writes: list[Write] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    left: int | None = None
    code: str = "ExpiredToken"
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def url(self, more: str = "") -> str:
        plain = "&allow_http=true" if self.endpoint.startswith("http:") else ""
        return f"s3://test?endpoint={self.endpoint}{plain}{more}"

    def take(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if self.left is not None:
            if self.left == 0:
                return 403, f"<Error><Code>{self.code}</Code></Error>".encode()
            self.left -= 1
        parts = urlsplit(path)
        key, query = parts.path.removeprefix("/test/"), parse_qs(parts.query, keep_blank_values=True)
        if "uploads" in query:
            self.parts[key] = {}
            return 200, BEGUN
        if method == "DELETE":
            self.parts.pop(key, None)
            return 204, b""
        if method == "POST":
            begun = self.parts.pop(key)
            self.objects[key] = b"".join(begun[number] for number in sorted(begun))
            return 200, COMPLETED
        if "partNumber" in query:
            self.parts[key][int(query["partNumber"][0])] = body
        else:
            self.objects[key] = body
        return 200, b""


@contextmanager
def parts_s3(tls: ssl.SSLContext | None = None) -> Iterator[PartsS3]:
    server = PartsS3()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                server.writes.append(Write(f"{self.command} {self.path}", headers, len(body)))
                status, said = server.take(self.command, self.path, body)
            self.send_response(status)
            self.send_header("ETag", '"e"')
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_PUT = do_POST = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class says so
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        http.socket = tls.wrap_socket(http.socket, server_side=True)
    server.endpoint = f"http{'s' if tls else ''}://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join(10)
