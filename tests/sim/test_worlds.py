"""Whole worlds: the real controllers and agents through bad hours and bad days, judged by every checker.

`OUTLAST_SHORT_SEEDS`, `OUTLAST_DAY_SEEDS` and `OUTLAST_GANG_SEEDS` say how many; `make soak` runs far more.
"""

from __future__ import annotations

import os

import pytest
from tests.sim.sweep import Sums, known_seeds, sweep

from outlast_orchestrator.simulate.plan import SIZES
from outlast_orchestrator.simulate.world import World

SHORT_SEEDS = int(os.environ.get("OUTLAST_SHORT_SEEDS", "2000"))
DAY_SEEDS = int(os.environ.get("OUTLAST_DAY_SEEDS", "50"))
GANG_SEEDS = int(os.environ.get("OUTLAST_GANG_SEEDS", "40"))
GANG_CHUNK = 10
SHORT_CHUNK = 50  # seeds of one test: small enough that the workers end together
DAY_CHUNK = 10
KINDS_WITHIN, KINDS_CHUNK = 60, 5  # seeds in which every kind of fault must strike


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SHORT_SEEDS, SHORT_CHUNK))
def test_no_checker_is_broken_in_dense_hours(first: int) -> None:
    sums = sweep(range(first, min(first + SHORT_CHUNK, SHORT_SEEDS)), "short")
    assert not sums.broken, "\n".join(sums.broken)
    # Of all 2,000 it is more than 11; the mean of so few spreads by 0.6.
    assert sums.faults >= 9 * sums.seeds, sums.text()
    assert sums.kinds >= 5 * sums.seeds, sums.text()
    assert sums.attempts >= 2 * sums.seeds, sums.text()


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, DAY_SEEDS, DAY_CHUNK))
def test_no_checker_is_broken_in_a_day(first: int) -> None:
    sums = sweep(range(first, min(first + DAY_CHUNK, DAY_SEEDS)), "day")
    assert not sums.broken, "\n".join(sums.broken)
    assert sums.jobs >= 3 * sums.seeds
    assert sums.hours >= 24.0 * sums.seeds
    assert sums.faults >= 10 * sums.seeds, sums.text()
    assert sums.kinds >= 3 * sums.seeds, sums.text()


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, GANG_SEEDS, GANG_CHUNK))
def test_no_checker_is_broken_in_worlds_of_gangs(first: int) -> None:
    sums = sweep(range(first, min(first + GANG_CHUNK, GANG_SEEDS)), "gang")
    assert not sums.broken, "\n".join(sums.broken)
    assert sums.faults >= 10 * sums.seeds, sums.text()
    assert sums.machines >= 4 * sums.seeds, sums.text()


@pytest.mark.parametrize("size", list(SIZES))
def test_seeds_that_once_found_a_fault(size: str) -> None:
    sums = sweep(known_seeds(size), size)
    assert not sums.broken, "\n".join(sums.broken)


def test_every_kind_of_fault_strikes() -> None:
    """A kind that never finds anybody to hit proves nothing."""
    sums, missing = Sums(), World(0).faults.kinds()
    for first in range(0, KINDS_WITHIN, KINDS_CHUNK):
        sums.join(sweep(range(first, first + KINDS_CHUNK), "short"))
        missing = [kind for kind in missing if kind not in sums.by_kind]
        if not missing and sums.pairs and sums.acts:
            return
    raise AssertionError(f"never struck: {missing}; {sums.text()}")
