"""The inside of an instance: the first process, parent of everything that runs on it.

`python -I -m outlast_orchestrator.providers.local.machine FOLDER` runs as long as the instance does. It is
a child subreaper, so that no process escapes from its tree, and single-threaded, so that it may fork. The
cloud talks to it over a socket in its folder; a program on the instance switches it off by its `poweroff`
command. Without its supervisor nothing of an instance may live: what it started dies by the parent-death
signal, and the cloud sweeps the rest.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from outlast_orchestrator.providers.local import clock, processes
from outlast_orchestrator.providers.local.services import Services, spawn

SOCKET = "machine.sock"
PROC_FILE = "machine.json"  # pid and start of the supervisor, written when it listens
ENDED_FILE = "ended.json"  # written when the machine switches itself off
DISK = "disk"
USER_DATA = "user-data"
CONSOLE = "console.log"
GUEST_GRACE_S = 2.0
REQUEST_BYTES_MAX = 64 << 20
OUTPUT_BYTES_MAX = 1 << 20
TICK_S = 0.2  # for restarts and time limits; everything else wakes the loop


class Machine:
    """One loop over the socket, the children and the clock."""

    def __init__(self, folder: Path, console: int) -> None:
        self._folder = folder
        self._console = console
        self._selector = selectors.DefaultSelector()
        self._services = Services(folder / DISK, console)
        self._commands: dict[int, _Command] = {}  # running, by pid
        self._waiting: dict[socket.socket, bytearray] = {}
        self._off = False

    def run(self) -> None:
        self._write_poweroff()
        listener = socket.socket(socket.AF_UNIX)
        Path(SOCKET).unlink(missing_ok=True)
        listener.bind(SOCKET)  # relative: a socket's path has room for 107 bytes only
        listener.listen(16)
        listener.setblocking(False)
        waker = self._signals()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(waker, selectors.EVENT_READ, lambda end: end.recv(4096))
        me = processes.read(os.getpid())
        assert me is not None
        _write(Path(PROC_FILE), {"pid": me.pid, "started": me.started})
        self._run_user_data()
        while not self._off:
            for key, _ in self._selector.select(TICK_S):
                key.data(key.fileobj)
            self._reap()
            now_s = clock.monotonic_s()
            self._services.tick(now_s)
            for command in self._commands.values():
                command.enforce(now_s)
        self._power_off(me)

    def _signals(self) -> socket.socket:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGUSR2, self._ask_off)
        signal.signal(signal.SIGTERM, self._ask_off)
        self._writer = writer  # keeps the wake-up descriptor open
        return reader

    def _ask_off(self, *_: object) -> None:
        self._off = True

    def _write_poweroff(self) -> None:
        path = self._folder / "poweroff"
        path.write_text(f"#!/bin/sh\nkill -s USR2 {os.getpid()}\n")
        path.chmod(0o755)

    def _run_user_data(self) -> None:
        path = self._folder / USER_DATA
        if not path.exists() or not path.stat().st_size:
            return
        argv = [str(path)] if path.read_bytes()[:2] == b"#!" else ["/bin/sh", str(path)]
        spawn(argv, self._folder / DISK, (None, self._console, self._console))

    # requests

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.setblocking(False)
        self._waiting[connection] = bytearray()
        self._selector.register(connection, selectors.EVENT_READ, self._read)

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(1 << 16)
        except ConnectionError:
            data = b""
        request = self._waiting[connection]
        request += data
        if data and not data.endswith(b"\n") and len(request) <= REQUEST_BYTES_MAX:
            return
        self._selector.unregister(connection)
        del self._waiting[connection]
        connection.setblocking(True)
        if not request.endswith(b"\n"):
            connection.close()
            return
        self._obey(json.loads(request), connection)

    def _obey(self, request: dict[str, Any], connection: socket.socket) -> None:
        if request["op"] == "exec":
            command = _Command(request, connection, self._folder / DISK)
            self._commands[command.pid] = command
        elif request["op"] == "start":
            self._services.start(
                request["name"], request["key"], request["argv"], request["restarts"], clock.monotonic_s()
            )
            _answer(connection, {"ok": True})
        else:
            _answer(connection, {"ok": True, "services": self._services.running()})

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            command = self._commands.pop(pid, None)
            if command is not None:
                command.finish(os.waitstatus_to_exitcode(status))
            self._services.ended(pid, os.waitstatus_to_exitcode(status), clock.monotonic_s())

    def _power_off(self, me: processes.Process) -> None:
        _write(Path(ENDED_FILE), {"at": clock.wall_s()})
        root = processes.Root(me.pid, me.started, os.environ[processes.MARK])
        processes.end_orderly(root, GUEST_GRACE_S, spare=me.pid)


class _Command:
    """A command in the foreground: its caller waits for the exit code and the output."""

    def __init__(self, request: dict[str, Any], connection: socket.socket, disk: Path) -> None:
        self._connection = connection
        self._deadline_s = clock.monotonic_s() + float(request["timeout_s"])
        self._in = os.memfd_create("stdin")
        self._out = os.memfd_create("stdout")
        self._err = os.memfd_create("stderr")
        os.write(self._in, base64.b64decode(request["stdin"]))
        os.lseek(self._in, 0, os.SEEK_SET)
        self.pid = spawn(request["argv"], disk, (self._in, self._out, self._err))

    def enforce(self, now_s: float) -> None:
        if now_s > self._deadline_s:
            with contextlib.suppress(ProcessLookupError):  # it has no session of its own yet
                os.killpg(self.pid, signal.SIGKILL)

    def finish(self, code: int) -> None:
        answer = {"code": code, "stdout": _text(self._out), "stderr": _text(self._err)}
        for descriptor in (self._in, self._out, self._err):
            os.close(descriptor)
        _answer(self._connection, answer)


def _text(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    start = max(0, size - OUTPUT_BYTES_MAX)
    return os.pread(descriptor, size - start, start).decode(errors="replace")


def _answer(connection: socket.socket, value: dict[str, Any]) -> None:
    with connection:
        try:
            connection.sendall(json.dumps(value).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            sys.stderr.write("machine: the cloud went away before its answer\n")


def _write(path: Path, value: dict[str, Any]) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)


def main(folder: Path) -> int:
    os.chdir(folder)
    lock = os.open("machine.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK:
            raise
        return 3  # this instance runs already: a cloud that was killed in its start had started it
    processes.adopt_orphans()
    Machine(folder, os.open(CONSOLE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
