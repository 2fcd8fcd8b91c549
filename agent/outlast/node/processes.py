"""Finds and ends processes through /proc: descendants, and whoever carries a mark in its environment."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
SHELLS = frozenset({"sh", "dash", "bash", "ash", "busybox"})


def parents() -> dict[int, int]:
    """pid → parent of every living process; zombies are dead and left out."""
    found: dict[int, int] = {}
    for entry in os.listdir(PROC):
        if entry.isdigit():
            state, parent = _stat(int(entry))
            if state not in ("Z", "X", ""):
                found[int(entry)] = parent
    return found


def descendants(root: int) -> list[int]:
    """All living processes below `root`, without it, parents before children."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found, waiting = [], [root]
    while waiting:
        for child in children.get(waiting.pop(0), []):
            found.append(child)
            waiting.append(child)
    return found


def marked(mark: str) -> list[int]:
    """Living processes whose environment holds `mark` (`NAME=value`): also those that left the tree."""
    wanted = mark.encode()
    return [pid for pid in parents() if pid != os.getpid() and wanted in _environ(pid)]


def alive(pid: int) -> bool:
    return _stat(pid)[0] not in ("Z", "X", "")


def send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def catches(pid: int, number: int) -> bool:
    """The process has a handler of its own for this signal; else the signal would end it, or do nothing."""
    try:
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    except (OSError, ValueError):
        return False
    return False


def main_of(pid: int) -> int:
    """The program itself: shells that only wait for their one child are stepped over."""
    while _name(pid) in SHELLS:
        below = [child for child, parent in parents().items() if parent == pid]
        if len(below) != 1:
            return pid
        pid = below[0]
    return pid


def signal_named(name: str) -> int:
    """`USR1` or `SIGUSR1`. Raises ValueError."""
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    try:
        return int(signal.Signals[full])
    except KeyError:
        raise ValueError(f"{name!r} is no signal of this system") from None


def _stat(pid: int) -> tuple[str, int]:
    try:
        with open(f"{PROC}/{pid}/stat", "rb") as file:
            body = file.read()
    except OSError:
        return "", 0
    fields = body.rpartition(b")")[2].split()  # the name before may hold anything, brackets too
    return fields[0].decode(), int(fields[1])


def _environ(pid: int) -> list[bytes]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _name(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""
