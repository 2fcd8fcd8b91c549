"""What the sweep finds beside the records: a launch's second machine, and what is left of one that is off."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.contracts.rows import attempt
from tests.controller.stage import Stage, ready, seen

from outlast_orchestrator.core.decide import decide
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.types import InstancePhase, Wanted
from outlast_orchestrator.core.view import CloudState
from outlast_orchestrator.policies.cheapest import cheapest


@pytest.fixture
def stage() -> Stage:
    found = Stage()
    found.submit(attempt(), ready())
    found.cloud.listed = [seen(owner=found.store.owner())]
    found.settle()
    return found


@pytest.mark.parametrize("state", [CloudState.RUNNING, CloudState.ENDED])
def test_the_second_one_never_stands_for_the_first(stage: Stage, state: CloudState) -> None:
    """A listing that leaves out the first proves neither that it lives nor that it has ended."""
    own = stage.view().instances[0].seen
    assert own is not None
    stage.cloud.listed = [seen(id="i-9", state=state, owner=stage.store.owner())]
    stage.tick(20)
    machine = stage.view().instances[0]
    assert machine.seen == own
    assert machine.absent_s


def test_the_second_one_is_found_and_ended_when_the_first_is_gone() -> None:
    """Also in a cloud that lists ended machines no more."""
    stage = Stage()
    stage.decisions["j1"] = lambda view: decide(view, cheapest)
    stage.submit(replace(ready(), phase=InstancePhase.TERMINATING), wanted=Wanted.CANCELLED)
    owner = stage.store.owner()
    stage.cloud.listed = [seen(owner=owner), seen(id="i-9", owner=owner)]
    stage.tick(20)
    assert set(stage.cloud.terminated) == {"i-l1"}
    stage.cloud.listed = [seen(id="i-9", owner=owner)]
    stage.tick(150)
    assert stage.kinds().count(Kind.INSTANCE_ADOPTED) == 1
    assert "i-9" in stage.cloud.terminated
    stage.cloud.listed = []
    stage.tick(150)
    assert [record.phase for record in stage.store.instances()] == [InstancePhase.GONE]


def test_what_is_left_of_a_machine_that_is_off_is_deleted() -> None:
    """Nobody waits for it any more, and its disk costs money as long as it is there."""
    stage = Stage()
    stage.decisions["j1"] = lambda view: decide(view, cheapest)
    stage.submit(replace(ready(), phase=InstancePhase.GONE), wanted=Wanted.CANCELLED)
    stage.cloud.listed = [seen(owner=stage.store.owner(), state=CloudState.OFF)]
    stage.tick(150)
    assert set(stage.cloud.terminated) == {"i-l1"}
    stage.cloud.listed = []
    stage.tick(150)
    assert [record.phase for record in stage.store.instances()] == [InstancePhase.GONE]
    (adopted,) = [e for e in stage.store.events("j1", 0, 1000) if e.kind is Kind.INSTANCE_ADOPTED]
    assert "switched off" in adopted.why
