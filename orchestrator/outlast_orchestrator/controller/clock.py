"""The controller's only source of time, waiting and randomness."""

from __future__ import annotations

import secrets
import time
from datetime import datetime, timezone


class SystemClock:
    """Implements `core.ports.Clock`. The monotonic clock stands still while the machine is suspended."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wall_s(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def token(self, nbytes: int) -> str:
        return secrets.token_hex(nbytes)


def iso(wall_s: float) -> str:
    """ISO 8601 in UTC, for people."""
    return datetime.fromtimestamp(wall_s, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
