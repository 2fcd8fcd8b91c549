"""A small HTTP server on loopback, for the cloud's control API and for the metadata of instances."""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

log = logging.getLogger("serve")


class Handler(BaseHTTPRequestHandler):
    """Answers in one packet, and logs no requests: the cloud writes its own log."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # unbuffered answers cost 40 ms each: header and body would be two packets
    timeout = 60.0

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        log.debug("%s %s %s", self.path, code, size)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        log.debug(format, *args)

    def answer(self, status: int, body: bytes, kind: str = "text/plain", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class LoopbackServer(ThreadingHTTPServer):
    """Listens on 127.0.0.1; port 0 lets the kernel pick one."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, handler: type[Handler]) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name=f"http {self.port}", daemon=True)
        self._thread.start()

    def server_bind(self) -> None:
        # The inherited one looks up a host name, which may hang where there is no resolver.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """Mostly a client that went away in the middle of an answer; never a reason to print."""
        log.info("%s of %s failed", request, client_address, exc_info=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def stop(self) -> None:
        self._stopping = True
        self.socket.shutdown(socket.SHUT_RDWR)  # wakes the wait for a request, which needs no polling then
        self._thread.join(5.0)
        self.server_close()

    def _serve(self) -> None:
        while not self._stopping:
            self.handle_request()
