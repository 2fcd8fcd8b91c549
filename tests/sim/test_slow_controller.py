"""A controller with very many jobs looks at each of them far less often; it comes to the same ends."""

from __future__ import annotations

import pytest
from tests.sim.mutants_edit import changed, edit
from tests.sim.quiet import quiet

from outlast_orchestrator.simulate.control import Variation
from outlast_orchestrator.simulate.plan import SIZES
from outlast_orchestrator.simulate.world import World

PAUSE_S = 30.0  # between two looks: six times as long as a reading of the pointer counts as new
SEEDS = range(12)
ONLY_THE_NEWEST = edit(
    "outlast_orchestrator.core.rules.pointer:pointer_is_fresh",
    "(ARRIVED_FRESH_S if arrived else FRESH_S)",
    "FRESH_S",
)


def found(seed: int) -> list[str]:
    with quiet():
        return [str(one) for one in World(seed, SIZES["short"], Variation(pause_s=PAUSE_S)).run()]


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, len(SEEDS), 4))
def test_whoever_looks_seldom_brings_every_job_to_its_end(first: int) -> None:
    assert [text for seed in SEEDS[first : first + 4] for text in found(seed)] == []


def test_were_only_a_reading_of_just_now_to_count_nothing_would_ever_start() -> None:
    with changed((ONLY_THE_NEWEST,)):
        assert any("nothing has run yet" in text for text in found(0))
