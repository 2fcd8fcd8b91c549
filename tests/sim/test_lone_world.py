"""Runs without a controller: whatever befalls them, one writer at a time, and the same final state."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from tests.sim.lone_world import JOB, PROFILE, LoneWorld

from outlast.alone.judge import EXIT_TAKEN_OVER, Done
from outlast.bucket.manifest import hash_bytes
from outlast.protocol.objects import PointerState, job_prefix
from outlast_orchestrator.simulate.trainer import final_state

SEEDS = int(os.environ.get("OUTLAST_SEEDS", "300")) // 50
CHUNK = 3


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_checker_is_broken_and_each_job_ends_as_if_nothing_had_happened(first: int) -> None:
    ends: Counter[object] = Counter()
    generations = 0
    for seed in range(first, first + CHUNK):
        world = LoneWorld(seed)
        found = world.run()
        assert not found, f"seed {seed}: {found[0]}"
        pointer = world.pointer()
        assert pointer is not None
        assert (pointer.state, pointer.exit_code) == (PointerState.ENDED, 0), f"seed {seed}: {pointer}"
        body = final_state(JOB, PROFILE.steps).encode()
        assert hash_bytes(body) in {
            hash_bytes(world.bucket.peek(key) or b"")
            for key in world.bucket.keys(f"{job_prefix(JOB)}outputs/")
        }, f"seed {seed}"
        assert sum(world.faults.values()) >= 10
        generations += pointer.generation
        for place in world.places:
            ends.update(end.code if isinstance(end, Done) else "left" for end in place.ends)
    # A world in which nothing befalls anybody proves nothing.
    assert generations > 4 * CHUNK
    assert ends[0] >= CHUNK
    assert ends[EXIT_TAKEN_OVER] or ends["left"]


def test_the_same_seed_is_the_same_story() -> None:
    def digest() -> str:
        world = LoneWorld(3)
        world.run(1.0)
        return world.history.digest()

    assert digest() == digest()
