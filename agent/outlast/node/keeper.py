"""A small process between the agent and a command: when the agent dies, it ends the command's whole tree.

It is a subreaper, so whatever the command starts, in whatever session, stays below it. It runs by file
name (`python -I -S keeper.py LIFE SAYS LOCK COMMAND`), with the standard library only: LIFE is a pipe whose
end means that the agent is gone, SAYS a pipe for `pid N`, `exit N`, `none`; LOCK a file that is locked for
as long as anything of the command lives.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ROUND_MS = 50
ROUNDS_MAX = 400  # 20 s of SIGKILL; what is left then hangs in the kernel

_LIBC = ctypes.CDLL(None, use_errno=True)


def _below() -> list[int]:
    """Living descendants of this process (the file runs alone, so it does not share `processes`)."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, waiting = [], [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


class Keeper:
    def __init__(self, life: int, says: int, command: str) -> None:
        self._life = life
        self._says = says
        self._command = command
        self._main = 0
        self._wake, wake_in = os.pipe()
        os.set_blocking(wake_in, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_in, warn_on_full_buffer=False)

    def run(self) -> None:
        self._main = self._start()
        self._say(f"pid {self._main}")
        poller = select.poll()
        poller.register(self._life, select.POLLIN | select.POLLHUP)
        poller.register(self._wake, select.POLLIN)
        while True:
            for descriptor, _ in poller.poll():
                if descriptor == self._wake:
                    os.read(self._wake, 4096)
                    self._reap()
                    continue
                order = os.read(self._life, 64)
                # One line: how many milliseconds SIGTERM gets. No line: the agent is dead.
                grace_ms = int(order.split()[0]) if order.strip() else 0
                if self._end(grace_ms):
                    self._say("none")
                    return
                self._say("stuck")
                if not order:
                    return

    def _start(self) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            os.setsid()
            _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.execv("/bin/sh", ["/bin/sh", "-c", self._command])  # noqa: S606  # the user's own command
        finally:
            os._exit(127)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._main:
                code = os.waitstatus_to_exitcode(status)
                self._say(f"exit {code if code >= 0 else 128 - code}")

    def _end(self, grace_ms: int) -> bool:
        """SIGTERM, then SIGKILL round after round, until no process is left below this one."""
        self._send(signal.SIGTERM)
        self._send(signal.SIGCONT)
        for _ in range(max(0, grace_ms) // ROUND_MS):
            self._pause()
            if not _below():
                return True
        for _ in range(ROUNDS_MAX):
            self._send(signal.SIGKILL)
            self._pause()
            if not _below():
                return True
        return False

    def _pause(self) -> None:
        select.select([], [], [], ROUND_MS / 1000)
        self._reap()

    def _send(self, number: int) -> None:
        for pid in _below():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _say(self, line: str) -> None:
        try:
            os.write(self._says, line.encode() + b"\n")
        except BrokenPipeError:
            return  # the agent is gone; LIFE tells the same


def main(arguments: list[str]) -> int:
    life, says, lock, command = int(arguments[0]), int(arguments[1]), arguments[2], arguments[3]
    for descriptor in (life, says):
        os.set_inheritable(descriptor, False)
    # Signals to our session are not for us: only the agent's death, or its word, ends the tree.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)
    held = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    os.ftruncate(held, 0)
    os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
    Keeper(life, says, command).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
