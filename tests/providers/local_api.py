"""A stand-in for the controller's API behind a relay: it gives back every byte that it gets."""

from __future__ import annotations

import socket
import threading


class EchoApi:
    """Keeps in `got` what arrived, of all connections together."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.got = bytearray()
        self.accepted: list[socket.socket] = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        try:
            while True:
                end, _ = self.listener.accept()
                self.accepted.append(end)
                threading.Thread(target=self._echo, args=(end,), daemon=True).start()
        except OSError:
            return

    def _echo(self, end: socket.socket) -> None:
        with end:
            while data := end.recv(1 << 16):
                self.got += data
                end.sendall(data)

    def stop(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.listener.close()


def receive(end: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size and (data := end.recv(1 << 16)):
        got += data
    return bytes(got)
