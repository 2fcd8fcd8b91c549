"""A calm world in which one node of a gang gets a notice: all save and leave, and not one step is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sim.mutants_edit import changed, edit
from tests.sim.quiet import quiet

from outlast_orchestrator.simulate.checkers.gang_noticed import GangNoticedLoss
from outlast_orchestrator.simulate.plan import GANG
from outlast_orchestrator.simulate.world import World

NODES = 3
CALM = replace(
    GANG, jobs=1, fewest_jobs=1, hours=3.0, busy_hours=0.02, faults=0, nodes=(NODES,), steps=(60, 80),
    standby=0.0,
)  # fmt: skip
SEEDS = range(6)
ALONE = edit(
    "outlast_orchestrator.core.rules.claimed:_drain", "or attempt.abandoned or taken", "or attempt.abandoned"
)


def judged(seed: int) -> tuple[int, list[str]]:
    """How many noticed losses were judged, and what was broken."""
    with quiet():
        world = World(seed, CALM)
        rank = seed % NODES

        def strike() -> None:
            training = [h for h in world.hosts.values() if h.trainer.process is not None]
            if len(training) == NODES:
                world.cloud.interrupt(training[rank].machine, lead_s=300.0, noticed=True)
            else:
                world.clock.after(30.0, strike)

        world.clock.after(600.0, strike)
        found = [str(one) for one in world.run()]
    return sum(c.judged for c in world.checkers if isinstance(c, GangNoticedLoss)), found


def test_no_step_is_lost_to_a_notice() -> None:
    results = [judged(seed) for seed in SEEDS]
    assert [found for _, found in results if found] == []
    assert sum(count for count, _ in results) >= 2


@pytest.mark.slow
def test_were_the_others_not_to_leave_as_well_it_would_be_seen() -> None:
    with changed((ALONE,)):
        results = [judged(seed) for seed in SEEDS]
    broken = [text for _, found in results for text in found]
    assert any(text.startswith(GangNoticedLoss.name) for text in broken), broken
