"""Whole worlds: the real controller and the real agents through a bad day each, judged by every checker."""

from __future__ import annotations

import os

import pytest
from tests.sim.sweep import known_seeds, open_seeds, sweep

SEEDS = int(os.environ.get("OUTLAST_SEEDS", "300"))
CHUNK = 10  # seeds of one test: small enough that the workers end together


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_checker_is_broken(first: int) -> None:
    here = [seed for seed in range(first, min(first + CHUNK, SEEDS)) if seed not in open_seeds()]
    sums = sweep(here)
    assert not sums.broken, "\n".join(sums.broken)
    assert sums.jobs >= 3 * sums.seeds
    assert sums.hours >= 24.0 * sums.seeds
    assert sums.faults >= 10 * sums.seeds, sums.text()
    assert sums.kinds >= 3 * sums.seeds, sums.text()


def test_seeds_that_once_found_a_fault() -> None:
    sums = sweep(known_seeds())
    assert not sums.broken, "\n".join(sums.broken)
