"""A load balancer in small: one address that leads to whichever controller leads."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

HEALTH_LIMIT_S = 1.0


def health(url: str) -> dict[str, Any] | None:
    """What a controller says of itself; None when it says nothing in time."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=HEALTH_LIMIT_S)
    try:
        connection.request("GET", "/v1/health")
        found: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return found


def leader_of(urls: list[str]) -> str | None:
    return next((url for url in urls if (found := health(url)) is not None and found["leading"]), None)


@contextmanager
def front(urls: Callable[[], list[str]]) -> Iterator[str]:
    """Its URL. A connection that nobody can take is closed."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            leader = leader_of(urls())
            if leader is None:
                return
            parts = urlsplit(leader)
            with suppress(OSError), socket.create_connection((parts.hostname, parts.port or 0)) as far:
                back = threading.Thread(target=_pump, args=(far, self.request), daemon=True)
                back.start()
                _pump(self.request, far)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(10)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with (
        suppress(OSError),
        source.makefile("rb", buffering=0) as read,
        sink.makefile("wb", buffering=0) as write,
    ):
        shutil.copyfileobj(read, write, 1 << 16)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
