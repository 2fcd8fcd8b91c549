"""When a save is due: every so many steps, or every so many seconds. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from outlast.training import CheckpointError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Rhythm:
    """At most one of the two is set; none: only when asked."""

    steps: int | None = None
    seconds: float | None = None

    def due(self, step: int, since_s: float) -> bool:
        """After `step`, counted from 0, when the last save began `since_s` ago."""
        if self.steps is not None:
            return (step + 1) % self.steps == 0
        return self.seconds is not None and since_s >= self.seconds


def rhythm_of(every: int | str | None) -> Rhythm:
    """Raises CheckpointError."""
    if every is None:
        return Rhythm()
    if isinstance(every, int) and every > 0:
        return Rhythm(steps=every)
    match = _DURATION.fullmatch(every.strip()) if isinstance(every, str) else None
    if match is None or float(match[1]) <= 0:
        raise CheckpointError(f'every={every!r}: give a number of steps, or a time such as "10m" or "90s"')
    return Rhythm(seconds=float(match[1]) * _SECONDS[match[2]])
