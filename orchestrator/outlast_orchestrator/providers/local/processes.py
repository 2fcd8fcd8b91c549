"""Finds every process of an instance and ends them all, however they were forked."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from outlast_orchestrator.providers.local import clock

MARK = "OUTLAST_MACHINE"  # in the environment of every process of an instance
KILL_LIMIT_S = 20.0
LOOK_EVERY_S = 0.01
_PR_SET_CHILD_SUBREAPER = 36
QUIET_SCANS = 2  # a process may be forked behind the back of one scan, not of two


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    state: str
    started: int  # kernel ticks since boot

    @property
    def dead(self) -> bool:
        return self.state in ("Z", "X")


@dataclass(frozen=True)
class Root:
    """A supervisor, and the mark that its descendants inherit."""

    pid: int
    started: int
    mark: str


def adopt_orphans() -> None:
    """Makes this process the parent of every orphan below it, in place of the machine's first process."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def read(pid: int) -> Process | None:
    """None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    return Process(pid=pid, parent=int(fields[1]), state=fields[0], started=int(fields[19]))


def alive(pid: int, started: int) -> bool:
    process = read(pid)
    return process is not None and process.started == started and not process.dead


def scan() -> dict[int, Process]:
    found = (read(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {process.pid: process for process in found if process is not None}


def members(root: Root) -> list[Process]:
    """The living processes of an instance: descendants of its supervisor, and all that bear its mark.

    As the supervisor is a child subreaper, descent alone finds every process while it lives; the mark
    finds them when it was killed first.
    """
    everyone = scan()
    children: dict[int, list[int]] = {}
    for process in everyone.values():
        children.setdefault(process.parent, []).append(process.pid)
    inside: set[int] = set()
    supervisor = everyone.get(root.pid)
    heads = [root.pid] if supervisor is not None and supervisor.started == root.started else []
    heads += [pid for pid in everyone if _marked(pid, root.mark)]
    while heads:
        pid = heads.pop()
        if pid not in inside:
            inside.add(pid)
            heads += children.get(pid, [])
    return [everyone[pid] for pid in sorted(inside) if not everyone[pid].dead]


def _marked(pid: int, mark: str) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False  # it has just ended, or belongs to another user and so not to us
    return f"{MARK}={mark}".encode() in environment.split(b"\0")


def send(process: Process, number: int) -> None:
    if alive(process.pid, process.started):
        with contextlib.suppress(ProcessLookupError):  # it ended by itself in between
            os.kill(process.pid, number)


def signal_all(root: Root, number: int, *, spare: int = 0) -> int:
    """Sends a signal to every process but `spare`; returns to how many."""
    found = [process for process in members(root) if process.pid != spare]
    for process in found:
        send(process, number)
    return len(found)


def freeze(root: Root, *, spare: int = 0, limit_s: float = KILL_LIMIT_S) -> None:
    """SIGSTOP to all, until two scans in a row find nobody new: from then on nothing can fork."""
    deadline_s = clock.monotonic_s() + limit_s
    stopped: set[tuple[int, int]] = set()
    quiet = 0
    while quiet < QUIET_SCANS and clock.monotonic_s() < deadline_s:
        new = [p for p in members(root) if (p.pid, p.started) not in stopped and p.pid != spare]
        for process in new:
            send(process, signal.SIGSTOP)
            stopped.add((process.pid, process.started))
        quiet = 0 if new else quiet + 1


def kill(root: Root, *, spare: int = 0, limit_s: float = KILL_LIMIT_S) -> tuple[int, ...]:
    """Freezes and kills everything, the supervisor last; returns the pids that are left after the limit.

    The supervisor goes last because orphans come to it: killed first, it would scatter them.
    """
    freeze(root, spare=spare, limit_s=limit_s)
    deadline_s = clock.monotonic_s() + limit_s
    empty = 0
    while True:
        found = [process for process in members(root) if process.pid != spare]
        if not found:
            empty += 1
            if empty == QUIET_SCANS:
                return ()
            continue
        empty = 0
        if clock.monotonic_s() > deadline_s:
            return tuple(process.pid for process in found)
        below = [process for process in found if process.pid != root.pid]
        for process in below or found:
            send(process, signal.SIGKILL)
        clock.sleep(LOOK_EVERY_S)


def end_orderly(root: Root, grace_s: float, *, spare: int = 0) -> tuple[int, ...]:
    """SIGTERM to all but the supervisor, a time of grace, then `kill`."""
    deadline_s = clock.monotonic_s() + grace_s
    signal_all(root, signal.SIGTERM, spare=spare or root.pid)
    while clock.monotonic_s() < deadline_s:
        if not [p for p in members(root) if p.pid not in (spare, root.pid)]:
            break
        clock.sleep(LOOK_EVERY_S * 5)
    return kill(root, spare=spare)


def kill_children(parent: int, known: set[int]) -> None:
    """Kills the children of a process that nobody started on purpose: orphans that came to it."""
    deadline_s = clock.monotonic_s() + KILL_LIMIT_S
    while clock.monotonic_s() < deadline_s:
        strays = [p for p in scan().values() if p.parent == parent and p.pid not in known and not p.dead]
        if not strays:
            return
        for process in strays:
            send(process, signal.SIGKILL)
        clock.sleep(LOOK_EVERY_S)
