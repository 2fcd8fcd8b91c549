"""The only place where the local cloud asks for the time, waits, or draws random numbers."""

from __future__ import annotations

import secrets
import time


def wall_s() -> float:
    """Seconds since 1970. The cloud's own schedule uses them, since it must survive its own restart."""
    return time.time()


def monotonic_s() -> float:
    return time.monotonic()


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def token(nbytes: int) -> str:
    return secrets.token_hex(nbytes)


def iso_utc(at: float) -> str:
    """Whole seconds, rounded down, in the form that metadata services use."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
