"""The pointer's world: claim, upload, advance, prune, restore under kills, freezes and lost replies."""

from __future__ import annotations

import os

import pytest
from tests.sim.pointer_world import PointerWorld

SEEDS = int(os.environ.get("OUTLAST_SEEDS", "300")) // 3
CHUNK = 10


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_checker_is_broken(first: int) -> None:
    steps, attempts = 0, 0
    for seed in range(first, first + CHUNK):
        world = PointerWorld(seed)
        found = world.run()
        assert not found, f"seed {seed}: {found[0]}"
        assert sum(world.faults.values()) >= 10
        pointer = world.pointer()
        assert pointer is not None
        steps += 0 if pointer.head is None else pointer.head.step
        attempts += len(world.lives)
    # A world in which nothing gets on proves nothing.
    assert steps > 100 * CHUNK
    assert attempts > 3 * CHUNK


def test_the_same_seed_is_the_same_story() -> None:
    def digest() -> str:
        world = PointerWorld(5)
        world.run(1.0)
        return world.history.digest()

    assert digest() == digest()
