"""Listens for the API on a socket, in a thread of its own; in the open only under TLS."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from outlast_orchestrator.core.errors import OutlastError, UserError

START_LIMIT_S = 30.0
STOP_LIMIT_S = 15.0
GRACE_S = 5
START_LOOK_S = 0.02
DATE_EVERY_S = 1.0
ROUNDS = 8  # of the event loop: from an accepted socket to a connection that is counted


@dataclass(frozen=True)
class Listen:
    host: str = "127.0.0.1"
    port: int = 0  # 0: one that the kernel picks
    cert_file: Path | None = None
    key_file: Path | None = None


def check(listen: Listen) -> None:
    """Raises UserError when tokens would travel readable for others, or a file is missing."""
    if (listen.cert_file is None) != (listen.key_file is None):
        raise UserError("TLS needs both cert_file and key_file: give the one that is missing, or neither")
    for path in (listen.cert_file, listen.key_file):
        if path is not None and not path.is_file():
            raise UserError(f"{path}: there is no such file; it is named as the API's TLS certificate or key")
    if listen.cert_file is None and not _loopback(listen.host):
        raise UserError(
            f"the API would listen on {listen.host} without TLS, and tokens could be read on the way: "
            "set cert_file and key_file, or listen on 127.0.0.1"
        )


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Server(uvicorn.Server):
    """Ends when it is told to: uvicorn's own looks ten times a second whether it should."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):  # which renews the date that goes into replies, too
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._told.wait(), DATE_EVERY_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn ends the connections that it knows at that moment, and asyncio makes none of an accepted
        socket once its server is closed: whoever was just let in would stay open. So first nobody is let in
        any more, then all come in, and only then is anything closed."""
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for listening in server.sockets:
                loop.remove_reader(listening.fileno())
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # its handshake took longer than that
        await asyncio.sleep(0)

    def end(self) -> None:
        """From any thread; safe to repeat."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it is over already
                self._loop.call_soon_threadsafe(self._told.set)


class ApiServer:
    """Binds when it is made, so that the port is known and a taken one is told at once."""

    def __init__(self, app: FastAPI, listen: Listen) -> None:
        check(listen)
        self._app = app
        self._socket = _bind(listen)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            ssl_certfile=listen.cert_file,
            ssl_keyfile=None if listen.key_file is None else str(listen.key_file),
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=75,
            server_header=False,
            ws="none",
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)
        self._over = threading.Event()
        host, port = self._socket.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if listen.cert_file else 'http'}://{shown}:{port}"

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._over.set()

    def start(self) -> None:
        """Returns when requests are answered."""
        self._thread.start()
        for _ in range(int(START_LIMIT_S / START_LOOK_S)):
            if self._server.started:
                return
            if self._over.wait(START_LOOK_S):
                break
        raise OutlastError("the API's server did not start: see the lines above")

    def stop(self) -> None:
        """Ends the requests that wait, then the others, then the thread; safe to repeat."""
        self._app.state.hangs.stop()
        self._server.end()
        if self._thread.is_alive():
            self._thread.join(STOP_LIMIT_S)
        self._socket.close()


def _bind(listen: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((listen.host, listen.port))
        sock.listen()  # only now is a port that two servers want refused to the second
    except OSError as error:
        sock.close()
        raise UserError(
            f"the API can't listen on {listen.host}:{listen.port} ({error.strerror}): "
            "stop what listens there, or choose another port"
        ) from error
    return sock
