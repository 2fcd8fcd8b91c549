"""Keeps Python's collector of cycles away from the tick: what a tick makes is freed without it."""

from __future__ import annotations

import gc

# Until so many more objects live than at the last look. Python's own 700 are reached several times in each
# tick of many jobs, and its rarer looks through all that lives took a tenth of a tick's time.
YOUNG_MAX = 50_000


def calm() -> None:
    """Of the whole process, once it is built: what lives now is looked through no more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX)
