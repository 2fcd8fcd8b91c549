"""A region has one machine and no more for hours: half a gang is given up there, and is whole elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.sim.mutants_edit import changed, edit
from tests.sim.quiet import quiet
from tests.sim.test_gang_notice import CALM, NODES

from outlast_orchestrator.simulate.checkers.half_gang import HalfGang
from outlast_orchestrator.simulate.cloud import NAME, SimCloud
from outlast_orchestrator.simulate.history import Fact, Launched, TrainerStarted
from outlast_orchestrator.simulate.world import World

PATIENT = edit(
    "outlast_orchestrator.core.rules.gang_machines:_left_s",
    "if not listed or len(listed) == len(nodes):",
    "if True:",
)


@dataclass
class Scarcity:
    """No more machines where the first one was had."""

    cloud: SimCloud
    region: str = ""
    trained_in: set[str] | None = None

    def see(self, at_s: float, fact: Fact) -> None:
        del at_s
        if isinstance(fact, Launched) and not self.region:
            self.region = fact.request.offer.region
            self.cloud.dry(f"{NAME}/{self.region}/", 36_000.0)
        elif isinstance(fact, TrainerStarted):
            regions = {m.request.offer.region for m in self.cloud.machines.values() if m.id == fact.machine}
            self.trained_in = (self.trained_in or set()) | regions


def lived(seed: int) -> tuple[Scarcity, list[str]]:
    with quiet():
        world = World(seed, CALM)
        scarcity = Scarcity(world.cloud)
        world.history.add(scarcity)
        return scarcity, [str(one) for one in world.run()]


def test_half_a_gang_is_given_up_and_trains_elsewhere() -> None:
    scarcity, found = lived(0)
    assert found == []
    assert scarcity.trained_in, f"none of {NODES} nodes ever trained"
    assert scarcity.region not in scarcity.trained_in


@pytest.mark.slow
def test_were_it_to_wait_for_ever_it_would_be_seen() -> None:
    with changed((PATIENT,)):
        _, found = lived(0)
    assert any(text.startswith(HalfGang.name) for text in found), found
