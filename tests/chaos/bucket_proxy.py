"""Stands between an agent and a real S3 server: away, silent, slow or faulty when it is told to be."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PIECE_BYTES = 32 << 10
UPSTREAM_LIMIT_S = 30.0
SILENCE_LOOK_S = 0.05
BUSY = b"<Error><Code>SlowDown</Code><Message>as told</Message></Error>"
NOT_PASSED_ON = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass
class BucketProxy:
    """Its fields may be changed at any time."""

    endpoint: str  # of the real server
    away: bool = False  # connections are closed at once
    silent: bool = False  # connections are taken, and nothing is ever answered
    bytes_per_s: float = 0.0  # 0: as fast as it goes
    refuse: float = 0.0  # the share of requests that get 503 and are not passed on
    lose: float = 0.0  # the share that is carried out, and answered with 503 all the same
    port: int = 0
    refused: int = 0
    lost: int = 0
    dice: random.Random = field(default_factory=lambda: random.Random(4711))
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fate(self) -> str:
        with self._turn:
            thrown = self.dice.random()
            if thrown < self.refuse:
                self.refused += 1
                return "refuse"
            if thrown < self.refuse + self.lose:
                self.lost += 1
                return "lose"
        return ""

    def carry(self, count: int) -> None:
        """All connections share one narrow line."""
        for done in range(0, count, PIECE_BYTES):
            if self.bytes_per_s:
                with self._turn:
                    time.sleep(min(PIECE_BYTES, count - done) / self.bytes_per_s)

    def works_again(self) -> None:
        self.away = self.silent = False
        self.bytes_per_s = self.refuse = self.lose = 0.0


@contextmanager
def bucket_proxy(endpoint: str) -> Iterator[BucketProxy]:
    proxy = BucketProxy(endpoint)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    server.daemon_threads = True
    proxy.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.works_again()
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    proxy: BucketProxy
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def answer(self) -> None:
        if self.proxy.away:
            self.close_connection = True
            return
        body = self._body()
        if self.proxy.silent:
            self._wait_in_silence()
            return
        fate = self.proxy.fate()
        if fate == "refuse":
            self._send(503, [], BUSY)
            return
        status, headers, data = self._pass_on(body)
        if fate == "lose":
            self._send(503, [], BUSY)
            return
        self.proxy.carry(len(data))
        self._send(status, headers, data)

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = answer

    def _wait_in_silence(self) -> None:
        while self.proxy.silent:
            time.sleep(SILENCE_LOOK_S)
        self.close_connection = True

    def _body(self) -> bytes:
        left = int(self.headers.get("Content-Length") or 0)
        pieces = []
        while left > 0 and (piece := self.rfile.read(min(PIECE_BYTES, left))):
            self.proxy.carry(len(piece))
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        there = urlsplit(self.proxy.endpoint)
        assert there.hostname
        upstream = http.client.HTTPConnection(there.hostname, there.port, timeout=UPSTREAM_LIMIT_S)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)  # the host too: it is signed
            upstream.endheaders(body)
            reply = upstream.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            upstream.close()

    def _send(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        length = str(len(data))
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in NOT_PASSED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True  # the client has given up

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class says so
        return
