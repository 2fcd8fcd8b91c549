"""A small instance metadata service on loopback (IMDSv2), with faults that a test can set."""

from __future__ import annotations

import json
import socket
import threading
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN_PATH = "/latest/api/token"


class Metadata:
    """`answers`: path → bytes or a JSON value. `clock_off_s`: how far its clock is ahead of ours."""

    def __init__(self, listening: socket.socket | None = None) -> None:
        """`listening`: bound already, wherever that is."""
        self.answers: dict[str, Any] = {}
        self.tokens: set[str] = set()
        self.issued = 0
        self.clock_off_s = 0.0
        self.status = 200
        self.broken: set[str] = set()  # paths that answer 503
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(), bind_and_activate=False)
        if listening is None:
            self._server.server_bind()
        else:
            self._server.socket.close()
            self._server.socket = listening
            self._server.server_port = listening.getsockname()[1]
        self._server.server_activate()
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + timedelta(seconds=self.clock_off_s)

    def notice_in(self, seconds: float) -> None:
        at = (self.now() + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.answers["/latest/meta-data/spot/instance-action"] = {"action": "terminate", "time": at}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        metadata = self

        class Handler(BaseHTTPRequestHandler):
            wbufsize = -1

            def do_PUT(self) -> None:
                metadata.issued += 1
                token = f"token-{metadata.issued}"
                metadata.tokens.add(token)
                self._send(200 if self.path == TOKEN_PATH else 404, token.encode())

            def do_GET(self) -> None:
                if self.headers.get("X-aws-ec2-metadata-token") not in metadata.tokens:
                    self._send(401, b"")
                elif self.path in metadata.broken:
                    self._send(503, b"")
                elif metadata.status != 200:
                    self._send(metadata.status, b"")
                elif self.path in metadata.answers:
                    found = metadata.answers[self.path]
                    self._send(200, found if isinstance(found, bytes) else json.dumps(found).encode())
                else:
                    self._send(404, b"<html>not found</html>")

            def _send(self, status: int, body: bytes) -> None:
                self.send_response_only(status)
                self.send_header("Date", format_datetime(metadata.now(), usegmt=True))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        return Handler
