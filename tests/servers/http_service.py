"""A small HTTP service on loopback whose answers a test decides: what metadata servers are made of."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

HANG_UP = 0


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in small letters
    body: bytes = b""


@dataclass(frozen=True)
class Said:
    """`status` HANG_UP: the connection is closed without an answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Service(Protocol):
    """`clock_off_s`: how far its clock is ahead of ours."""

    clock_off_s: float

    def answer(self, asked: Asked) -> Said: ...


def now_of(service: Service) -> datetime:
    return datetime.now(timezone.utc) + timedelta(seconds=service.clock_off_s)


@contextmanager
def serving(
    service: Service, tls: ssl.SSLContext | None = None, listening: socket.socket | None = None
) -> Iterator[str]:
    """The base URL. `listening`: bound already, wherever that is."""
    if listening is None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(service))
    else:
        server = ThreadingHTTPServer(listening.getsockname(), _handler(service), bind_and_activate=False)
        server.socket.close()
        server.socket = listening
        server.server_port = listening.getsockname()[1]
        server.server_activate()
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        wbufsize = -1

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", "0")))
            said = service.answer(Asked(self.command, parts.path, query, headers, body))
            if said.status == HANG_UP:
                self.close_connection = True
                return
            self.send_response_only(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.send_header("Date", format_datetime(now_of(service), usegmt=True))
            self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            self.wfile.write(said.body)

        do_PUT = do_POST = do_DELETE = do_GET

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    return Handler
