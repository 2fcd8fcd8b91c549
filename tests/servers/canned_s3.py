"""A server that answers as told, as object stores do: refusals, doubts and lost replies on the wire."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HANG_UP = 0  # the request is taken, and the connection closed without a reply


@dataclass
class CannedS3:
    """`answers` in order, the last one for ever; `seen` are the requests that arrived."""

    answers: list[tuple[int, str]]
    seen: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)  # of the same requests, names in lower case
    keeps: bool = False  # connections stay open for the next request
    peers: list[int] = field(default_factory=list)  # the client's port of each request: its connection
    port: int = 0

    @property
    def url(self) -> str:
        return f"s3://test?{self.query}"

    @property
    def query(self) -> str:
        """For a URL of any scheme that leads here."""
        return f"endpoint=http://127.0.0.1:{self.port}&allow_http=true"


def s3_error(status: int, code: str) -> tuple[int, str]:
    return status, f"<Error><Code>{code}</Code><Message>as told</Message></Error>"


@contextmanager
def canned_s3(*answers: tuple[int, str]) -> Iterator[CannedS3]:
    canned = CannedS3(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            canned.seen.append((self.command, self.path))
            canned.peers.append(self.client_address[1])
            canned.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, body = canned.answers.pop(0) if len(canned.answers) > 1 else canned.answers[0]
            self.close_connection = not canned.keeps or status == HANG_UP
            if status == HANG_UP:
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if not canned.keeps:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body.encode())

        do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class says so
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    canned.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield canned
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
