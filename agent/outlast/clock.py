"""The real time, randomness and threads: with the orchestrator's clock the only module that touches them."""

from __future__ import annotations

import datetime
import functools
import os
import queue
import random
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from outlast.ports import Mailbox
from outlast.priority import give_way

EXIT_TASK_DIED = 70  # EX_SOFTWARE: a background task raised, and none may be lost

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def pause(seconds: float) -> None:
    """Sleeps in code that has no runtime because it only ever meets the real world."""
    time.sleep(seconds)


def iso(wall_s: float) -> str:
    """A time for people and file names, in UTC: `2026-01-31T12:00:00Z`."""
    moment = datetime.datetime.fromtimestamp(int(wall_s), tz=datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class ThreadMailbox:
    """A queue between threads."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def put(self, item: Any) -> None:
        self._items.put(item)

    def get(self, timeout_s: float | None) -> Any | None:
        try:
            return self._items.get(timeout=None if timeout_s is None else max(timeout_s, 0.0))
        except queue.Empty:
            return None


class SystemRuntime:
    """The runtime of a node: the kernel's clocks and one thread for each task."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def boot_s(self) -> float:
        return time.clock_gettime(_BOOT_CLOCK)

    def wall_s(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(seconds, 0.0))

    def mailbox(self) -> Mailbox:
        return ThreadMailbox()

    def spawn(self, name: str, run: Callable[[], None], *, gives_way: bool = False) -> None:
        body = functools.partial(_giving_way, run) if gives_way else run
        threading.Thread(target=_guarded, args=(name, body), name=name, daemon=True).start()

    def token(self, nbytes: int) -> str:
        return secrets.token_hex(nbytes)

    def uniform(self) -> float:
        return random.random()


def _giving_way(run: Callable[[], None]) -> None:
    give_way()
    run()


def _guarded(name: str, run: Callable[[], None]) -> None:
    """Runs a task. Whatever leaves it, an exit included, ends the process with its traceback on stderr.

    A thread that died alone would leave an agent that looks alive and does only half of its work.
    """
    finished = False
    try:
        run()
        finished = True
    finally:
        if not finished:
            sys.stderr.write(f"outlast: task {name!r} died; ending the process\n")
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
            os._exit(EXIT_TASK_DIED)


def random_state() -> Any:
    """The state of Python's global generator, for a checkpoint of the trainer."""
    return random.getstate()


def set_random_state(state: Any) -> None:
    random.setstate(state)
