"""The way of agents to the controller's API: a TCP relay that can be made silent without losing a byte.

Silent means that nothing is read from either side: bytes wait in the kernel, ends of connections are not
passed on, and new connections are taken by the kernel's backlog only. When it speaks again, all of it
arrives. One thread serves all instances.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

BUFFER_BYTES = 1 << 16
BACKLOG = 256

log = logging.getLogger("relay")
Selector = selectors.DefaultSelector


@dataclass(eq=False)
class _Half:
    """One end of a relayed connection, and what waits to be written to it."""

    socket: socket.socket
    pending: bytearray = field(default_factory=bytearray)
    ended: bool = False  # it will send nothing more
    told: bool = False  # it was told that the other end sends nothing more
    connecting: bool = False


@dataclass(eq=False)
class _Pair:
    near: _Half  # the agent's
    far: _Half  # the API's

    def other(self, half: _Half) -> _Half:
        return self.far if half is self.near else self.near


@dataclass(eq=False)
class _Line:
    """All of one instance."""

    listener: socket.socket
    api: tuple[str, int] | None = None
    silent: bool = False
    pairs: set[_Pair] = field(default_factory=set)


class Relay:
    """Thread-safe: every method hands a task to the relay's own thread and waits until it is done."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._selector = Selector()
        self._tasks: list[tuple[Callable[[], None], threading.Event]] = []
        self._lock = threading.Lock()
        self._waker, wake = socket.socketpair()
        self._wake = wake
        self._waker.setblocking(False)
        self._selector.register(self._waker, selectors.EVENT_READ, None)
        self._running = True
        self._thread = threading.Thread(target=self._loop, name="relay", daemon=True)
        self._thread.start()

    def listen(self, name: str, port: int = 0) -> int:
        """Opens the port of an instance; returns its number. Raises OSError when it is taken."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
            raise
        listener.listen(BACKLOG)
        listener.setblocking(False)
        self._do(lambda: self._add(name, _Line(listener)))
        return int(listener.getsockname()[1])

    def lead(self, name: str, host: str, port: int) -> None:
        """New connections of this instance go to that address."""
        self._do(lambda: self._for(name, lambda line: setattr(line, "api", (host, port))))

    def has(self, name: str) -> bool:
        return name in self._lines

    def set_silent(self, name: str, silent: bool) -> None:
        current = self._lines.get(name)
        if current is None or current.silent == silent:
            return

        def change(line: _Line) -> None:
            line.silent = silent
            self._watch_line(line)

        self._do(lambda: self._for(name, change))

    def cut(self, name: str) -> None:
        """Ends the connections of this instance, as the kernel of a dead machine would."""
        self._do(lambda: self._for(name, self._close_all))

    def close(self, name: str) -> None:
        """Takes the instance off the relay, its connections included."""

        def remove() -> None:
            line = self._lines.pop(name, None)
            if line is not None:
                self._close_all(line)
                self._unwatch(line.listener)
                line.listener.close()

        self._do(remove)

    def stop(self) -> None:
        for name in list(self._lines):
            self.close(name)
        self._do(lambda: setattr(self, "_running", False))
        self._thread.join(5.0)
        for end in (self._waker, self._wake):
            end.close()
        self._selector.close()

    # everything below runs in the relay's thread

    def _do(self, task: Callable[[], object]) -> None:
        if not self._thread.is_alive():
            return
        done = threading.Event()
        with self._lock:
            self._tasks.append((lambda: (task(), None)[1], done))
        self._wake.send(b"w")
        done.wait(10.0)

    def _loop(self) -> None:
        while self._running:
            for key, events in self._selector.select():
                if key.data is None:
                    self._waker.recv(4096)
                elif isinstance(key.data, _Line):
                    self._accept(key.data)
                else:
                    line, pair, half = key.data
                    self._move(line, pair, half, events)
            with self._lock:
                tasks, self._tasks = self._tasks, []
            for task, done in tasks:
                task()
                done.set()

    def _add(self, name: str, line: _Line) -> None:
        self._lines[name] = line
        self._watch_line(line)

    def _for(self, name: str, change: Callable[[_Line], object]) -> None:
        line = self._lines.get(name)
        if line is not None:
            change(line)

    def _accept(self, line: _Line) -> None:
        try:
            near, _ = line.listener.accept()
        except OSError as error:
            log.warning("a connection can't be taken: %s", error)
            return
        near.setblocking(False)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if line.api is None:
            near.close()
            return
        far = socket.socket()
        far.setblocking(False)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            far.connect_ex(line.api)
        except OSError as error:  # a host name that does not resolve
            log.warning("the API at %s can't be reached: %s", line.api, error)
            near.close()
            far.close()
            return
        pair = _Pair(_Half(near), _Half(far, connecting=True))
        line.pairs.add(pair)
        self._watch_pair(line, pair)

    def _move(self, line: _Line, pair: _Pair, half: _Half, events: int) -> None:
        """Reads from or writes to one end, whatever is ready. A broken end breaks the pair at once."""
        if pair not in line.pairs or line.silent:
            return
        try:
            if half.connecting:
                error = half.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise ConnectionError(error, "the API can't be reached")
                half.connecting = False
            if events & selectors.EVENT_READ:
                self._read(pair, half)
            if events & selectors.EVENT_WRITE and half.pending:
                del half.pending[: half.socket.send(half.pending)]
            for end in (pair.near, pair.far):
                if pair.other(end).ended and not end.pending and not end.told and not end.connecting:
                    end.socket.shutdown(socket.SHUT_WR)
                    end.told = True
        except BlockingIOError:
            log.debug("not ready after all")
        except OSError:
            self._close(line, pair)
            return
        if pair.near.told and pair.far.told:
            self._close(line, pair)
        else:
            self._watch_pair(line, pair)

    def _read(self, pair: _Pair, half: _Half) -> None:
        data = half.socket.recv(BUFFER_BYTES)
        if data:
            pair.other(half).pending += data
        else:
            half.ended = True

    def _close_all(self, line: _Line) -> None:
        for pair in list(line.pairs):
            self._close(line, pair)

    def _close(self, line: _Line, pair: _Pair) -> None:
        line.pairs.discard(pair)
        for half in (pair.near, pair.far):
            self._unwatch(half.socket)
            half.socket.close()

    def _watch_line(self, line: _Line) -> None:
        self._watch(line.listener, 0 if line.silent else selectors.EVENT_READ, line)
        for pair in line.pairs:
            self._watch_pair(line, pair)

    def _watch_pair(self, line: _Line, pair: _Pair) -> None:
        for half in (pair.near, pair.far):
            events = 0
            if not half.ended and not half.connecting and len(pair.other(half).pending) < BUFFER_BYTES:
                events |= selectors.EVENT_READ
            if half.pending or half.connecting:
                events |= selectors.EVENT_WRITE
            self._watch(half.socket, 0 if line.silent else events, (line, pair, half))

    def _watch(self, end: socket.socket, events: int, data: object) -> None:
        # An end without events is taken out altogether: epoll reports hang-ups of whatever it holds.
        self._unwatch(end)
        if events:
            self._selector.register(end, events, data)

    def _unwatch(self, end: socket.socket) -> None:
        with contextlib.suppress(KeyError):  # it was not being watched
            self._selector.unregister(end)
