"""What an instance keeps running in the background: started once, restarted when it crashes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

RESTART_DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0)  # the last one stays
STOP_LIMIT_S = 5.0  # from SIGTERM to SIGKILL when another start replaces a service

_PR_SET_PDEATHSIG = 1
_Streams = tuple[int | None, int | None, int | None]


def spawn(argv: list[str], cwd: Path, streams: _Streams) -> int:
    """Forks and executes in a session of its own; only for a process with a single thread."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(argv, cwd, streams, parent)
    return pid


def _become(argv: list[str], cwd: Path, streams: _Streams, parent: int) -> NoReturn:
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGUSR2, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(127)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number_of, stream in enumerate(streams):
            os.dup2(nothing if stream is None else stream, number_of)
        os.chdir(cwd)
        os.execvp(argv[0], argv)  # noqa: S606  # there is no shell on purpose
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


@dataclass
class _Service:
    key: str
    argv: list[str]
    restarts: int
    pid: int = 0  # 0: not running
    start_at_s: float | None = None
    delays: list[float] = field(default_factory=lambda: list(RESTART_DELAYS_S))


class Services:
    """By name, one process each. Starting what already runs with the same key changes nothing."""

    def __init__(self, cwd: Path, console: int) -> None:
        self._cwd = cwd
        self._console = console
        self._services: dict[str, _Service] = {}
        self._leaving: dict[int, float] = {}  # replaced ones that have not ended: pid → when to kill

    def start(self, name: str, key: str, argv: list[str], restarts: int, now_s: float) -> None:
        old = self._services.get(name)
        if old is not None and old.key == key and (old.pid or old.start_at_s is not None):
            return
        if old is not None and old.pid:
            os.kill(old.pid, signal.SIGTERM)
            self._leaving[old.pid] = now_s + STOP_LIMIT_S
        self._services[name] = _Service(key, argv, restarts, start_at_s=now_s)
        self.tick(now_s)

    def tick(self, now_s: float) -> None:
        for pid, kill_at_s in self._leaving.items():
            if now_s > kill_at_s:
                os.kill(pid, signal.SIGKILL)
        if self._leaving:  # two agents on one machine would fight over its disk
            return
        for service in self._services.values():
            if service.start_at_s is not None and now_s >= service.start_at_s:
                service.start_at_s = None
                service.pid = spawn(service.argv, self._cwd, (None, self._console, self._console))

    def ended(self, pid: int, code: int, now_s: float) -> None:
        """Told of every child that ended, ours or not."""
        self._leaving.pop(pid, None)
        for name, service in self._services.items():
            if service.pid != pid:
                continue
            service.pid = 0
            sys.stderr.write(f"machine: {name} ended with {code}, {service.restarts} restarts left\n")
            if code != 0 and service.restarts > 0:
                service.restarts -= 1
                delay_s = service.delays.pop(0) if len(service.delays) > 1 else service.delays[0]
                service.start_at_s = now_s + delay_s

    def running(self) -> dict[str, int]:
        return {name: service.pid for name, service in self._services.items() if service.pid}
