"""Faults that come together, at the worst moment: the real code goes through them unbroken."""

from __future__ import annotations

import os

import pytest
from tests.sim.harsh_world import HarshWorld
from tests.sim.quiet import quiet

SEEDS = int(os.environ.get("OUTLAST_SEEDS", "300")) // 10
CHUNK = 10


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_checker_is_broken(first: int) -> None:
    attempts = 0
    with quiet():
        for seed in range(first, first + CHUNK):
            world = HarshWorld(seed)
            found = world.run()
            assert not found, f"seed {seed}: {found[0]}"
            attempts += world.store.attempts_made()
    # A day in which nothing is interrupted proves nothing.
    assert attempts > 3 * CHUNK
