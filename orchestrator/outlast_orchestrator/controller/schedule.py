"""Marks periodic work as due. The work itself runs inside the tick, under the leadership."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

from apscheduler.schedulers.background import BackgroundScheduler

SWEEP = "sweep"
RETENTION = "retention"
PRICES = "prices"
EVERY_S = {SWEEP: 120.0, RETENTION: 3600.0, PRICES: 60.0}


class Due:
    """What is waiting to be done. All of it is, when a controller starts. Safe from any thread."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._due = set(EVERY_S)

    def mark(self, work: str) -> None:
        with self._lock:
            self._due.add(work)
        self._wake()

    def take(self, work: str) -> bool:
        """True once for any number of marks."""
        with self._lock:
            if work not in self._due:
                return False
            self._due.remove(work)
            return True


def start_schedule(due: Due) -> Any:
    """An apscheduler (it has no types); stop it with `shutdown(wait=False)`."""
    scheduler = cast("Any", BackgroundScheduler)(timezone="UTC", daemon=True)
    for work, every_s in EVERY_S.items():
        scheduler.add_job(due.mark, "interval", [work], seconds=every_s, coalesce=True, max_instances=1)
    scheduler.start()
    return scheduler
