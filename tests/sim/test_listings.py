"""The simulated cloud forgets a living machine, but never so often in a row that its absence is a proof."""

from __future__ import annotations

from dataclasses import replace

from tests.sim.made_up import LAUNCH

from outlast.protocol.limits import GONE_AFTER_ABSENCES
from outlast_orchestrator.simulate.clock import SimClock
from outlast_orchestrator.simulate.cloud import LAUNCH_LAG_S, SimCloud
from outlast_orchestrator.simulate.history import History
from outlast_orchestrator.simulate.provider import CloudApi


def test_two_spells_of_forgetting_one_after_the_other_prove_nothing_yet() -> None:
    clock = SimClock(1)
    cloud = SimCloud(clock, History())
    api = CloudApi(cloud)
    machine = cloud.launch(replace(LAUNCH, max_life_s=1e6))
    clock.run(2 * LAUNCH_LAG_S)
    region = machine.request.offer.region
    machine.forgotten = GONE_AFTER_ABSENCES - 1
    seen = []
    for number in range(3 * GONE_AFTER_ABSENCES):
        if number == 1:
            machine.forgotten = GONE_AFTER_ABSENCES  # the second spell strikes in the middle of the first
        seen.append(bool(api.show(region)))
    absent = "".join("+" if listed else "-" for listed in seen)
    assert "-" * GONE_AFTER_ABSENCES not in absent
    assert absent.count("-") == 1 + GONE_AFTER_ABSENCES
    assert seen[-1]
