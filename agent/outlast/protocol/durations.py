"""Reads durations as people write them: `45s`, `30m`, `1h30m`, `2d`. Pure."""

from __future__ import annotations

import re

_UNITS_S = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?")


def duration_s(text: str) -> float:
    """Seconds in `text`. Raises ValueError with what is wrong and how to mend it."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is not a duration; write for instance 45s, 30m or 1h30m")
    parts = zip(match.groups(), _UNITS_S.values(), strict=True)
    seconds = sum(int(count) * unit for count, unit in parts if count)
    if seconds == 0:
        raise ValueError("a duration must be longer than nothing")
    return float(seconds)
