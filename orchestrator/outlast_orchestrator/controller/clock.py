"""The controller's only source of time, waiting and randomness."""

from __future__ import annotations

import os
import secrets
import threading
import time
from datetime import datetime, timezone

POOL_BYTES = 4 << 10


class SystemClock:
    """Implements `core.ports.Clock`. The monotonic clock stands still while the machine is suspended."""

    def __init__(self) -> None:
        self._random = _Random()

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wall_s(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def token(self, nbytes: int) -> str:
        return self._random.take(nbytes).hex()


class _Random:
    """The system's randomness, fetched for many at once: a tick draws for each job, and each fetch is a call
    into the kernel. No byte is given twice, to a forked process neither."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool, self._taken, self._pid = b"", 0, 0

    def take(self, count: int) -> bytes:
        with self._lock:
            begin, end = self._taken, self._taken + count
            if end > len(self._pool) or self._pid != os.getpid():
                self._pool, self._pid = secrets.token_bytes(max(POOL_BYTES, count)), os.getpid()
                begin, end = 0, count
            self._taken = end
            return self._pool[begin:end]


def iso(wall_s: float) -> str:
    """ISO 8601 in UTC, for people."""
    return datetime.fromtimestamp(wall_s, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
