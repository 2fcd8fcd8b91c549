"""The time and the random names that the checks of a bucket take."""

from __future__ import annotations

import secrets
import time


class CheckClock:
    """The parts of `core.ports.Clock` that a check needs."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wall_s(self) -> float:
        return time.time()

    def token(self, nbytes: int) -> str:
        return secrets.token_hex(nbytes)
