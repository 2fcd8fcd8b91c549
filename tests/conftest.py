"""Deals the tests to the workers so that those that compute and those that wait run side by side.

xdist gives each worker one piece of the collection, and who is done steals from the end of the longest rest.
Left in the order of their names, all workers wait at first (agent, chaos and e2e are sleeping, most of the
time) and all of them compute later. So one worker begins with what only computes and the others with what
takes long; what is quick lies at the ends of the pieces. What is left in the end is computing, in small
portions, and every worker has its share of it.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
COMPUTING = ("sim", "model")
WAITING = ("chaos", "e2e", "scale", "bench", "agent", "contracts", "providers")
TOGETHER = ("e2e",)  # its tests share a server, one for each worker that runs any of them


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = dealt(items, workers)


def pytest_collection_finish() -> None:
    """What has been imported by now stays: no later collection of garbage need look through it again."""
    gc.collect()
    gc.freeze()


def dealt(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """All of them, in another order: as many pieces, of the lengths in which xdist cuts it."""
    computing = [item for item in items if _folder(item) in COMPUTING]
    waiting = [item for name in WAITING for item in items if _folder(item) == name]
    rest = [item for item in items if _folder(item) not in (*COMPUTING, *WAITING)]
    hands = [computing, *([] for _ in range(workers - 1))]
    for number, (_, one) in enumerate(groupby(waiting, _kept_together)):
        hands[1 + number % (workers - 1)].extend(one)
    left = len(items)
    for number, hand in enumerate(hands):
        length = left // (workers - number)
        left -= length
        room = max(0, length - len(hand))
        hand.extend(rest[:room])
        del rest[:room]
    return [item for hand in hands for item in hand] + rest


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]


def _kept_together(item: pytest.Item) -> str:
    folder = _folder(item)
    return folder if folder in TOGETHER else str(item.path)
