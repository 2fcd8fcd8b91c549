"""What a decision gets to see: absences, Unknown, silence, and nothing that was not looked at."""

from __future__ import annotations

import pytest
from tests.contracts.rows import attempt, instance
from tests.controller.stage import Stage, machine, seen, with_a_machine
from tests.core.build import pointer

from outlast.protocol.objects import status_key
from outlast_orchestrator.controller.schedule import PRICES
from outlast_orchestrator.core.actions import Decision, Launch, ListRegion
from outlast_orchestrator.core.errors import Scope, ScopeKind, Transient
from outlast_orchestrator.core.types import Asked, AttemptPhase, Closing, InstancePhase
from outlast_orchestrator.core.view import NEVER_S, CallKind, CloudState, JobView

KEY = status_key(1, 0)


@pytest.fixture
def stage() -> Stage:
    return with_a_machine()


def test_nothing_is_decided_before_each_region_has_answered(stage: Stage) -> None:
    stage.controller.tick()
    assert stage.views == {}
    stage.settle()
    assert machine(stage).seen == stage.cloud.listed[0]


def test_a_region_that_never_answers_does_not_hold_everything_up(stage: Stage) -> None:
    for _ in range(25):
        stage.controller.tick()
        stage.clock.forward(1.0)
    assert machine(stage).region_problem
    assert machine(stage).absent_s == ()


def test_absences_count_from_the_last_sighting_and_begin_with_the_listing(stage: Stage) -> None:
    stage.settle()
    stage.cloud.listed = []
    stage.tick(50)
    absences = machine(stage).absent_s
    assert len(absences) == 3
    assert absences[0] > machine(stage).seen_s
    assert list(absences) == sorted(absences)
    stage.cloud.listed = [seen(owner=stage.store.owner())]
    stage.tick(20)
    assert machine(stage).absent_s == ()


def test_unknown_is_no_absence(stage: Stage) -> None:
    stage.settle()
    stage.cloud.listed, stage.cloud.problem = [], "503"
    stage.tick(100)
    assert machine(stage).absent_s == ()
    assert machine(stage).region_problem == "503"
    assert machine(stage).seen is not None


def test_a_listing_that_hangs_makes_the_region_unknown(stage: Stage) -> None:
    stage.settle()
    for _ in range(90):
        stage.controller.tick()
        stage.clock.forward(1.0)
    assert "no complete listing" in machine(stage).region_problem


def test_the_begin_of_a_listing_is_when_it_was_asked_for(stage: Stage) -> None:
    stage.settle()
    stage.decisions["j1"] = lambda view: Decision((ListRegion("here", "r1"),), "look")
    stage.clock.forward(1.0)
    asked_s = stage.clock.now_s
    stage.controller.tick()
    stage.clock.forward(30.0)  # the answer takes its time
    stage.calls.work()
    stage.controller.tick()
    assert machine(stage).seen_s == asked_s


def test_of_two_machines_with_one_launch_id_the_record_keeps_its_own(stage: Stage) -> None:
    owner = stage.store.owner()
    stage.cloud.listed = [
        seen(id="i-0", state=CloudState.ENDED, owner=owner),
        seen(id="i-l1", owner=owner),
        seen(id="i-9", owner=owner),
    ]
    stage.settle()
    found = machine(stage).seen
    assert found is not None
    assert found.id == "i-l1"


def test_the_pointer_is_read_and_a_failure_says_that_nothing_is_known(stage: Stage) -> None:
    stage.settle()
    assert stage.view().pointer.problem == ""
    assert stage.view().pointer.pointer is None
    read_s = stage.view().pointer.begun_s
    stage.buckets.down = True
    stage.tick(12)
    assert "reached" in stage.view().pointer.problem
    assert stage.view().pointer.begun_s > read_s > NEVER_S


def test_offers_are_unknown_until_a_cloud_has_answered(stage: Stage) -> None:
    stage.cloud.offers_problem = "503"
    stage.settle()
    stage.tick(3)
    assert stage.view().offers is None
    stage.cloud.offers_problem = ""
    stage.tick(8)
    assert stage.view().offers
    stage.cloud.offers_problem = "503"
    stage.due.mark(PRICES)
    stage.tick(3)
    assert stage.view().offers, "what was offered before still stands"


def test_what_a_call_brought_stays_until_it_was_acted_on() -> None:
    """The decision fails in the very tick that sees the answer: the answer is there again in the next."""
    stage = Stage()
    record = instance()
    stage.submit(record)

    def refuse(_request: object) -> None:
        raise Transient("lost", Scope(ScopeKind.CALL, "launch"))

    stage.cloud.on_launch = refuse
    stage.settle()
    failures: list[JobView] = []

    def decide(view: JobView) -> Decision:
        if any(done.call.kind is CallKind.LAUNCH for done in view.done):
            failures.append(view)
            if len(failures) == 1:
                raise RuntimeError("a bug")
        elif not failures:
            return Decision((Launch(record),), "launch")
        return Decision((), "seen")

    stage.decisions["j1"] = decide
    stage.tick(4)
    assert len(failures) == 2
    assert isinstance(failures[1].done[0].error, Transient)


def test_a_launch_under_way_is_never_absent() -> None:
    stage = Stage()
    record = instance(asked=Asked.INTENDED)
    stage.submit(record)
    stage.settle()
    stage.decisions["j1"] = lambda view: Decision((Launch(record), ListRegion("here", "r1")), "launch")
    launch = None
    for _ in range(30):
        stage.controller.tick()
        held = {call: run for call, run in stage.calls.waiting.items() if call.kind is CallKind.LAUNCH}
        launch = launch or held
        for call in held:
            del stage.calls.waiting[call]
        stage.calls.work()
        stage.calls.waiting.update(held)
        stage.clock.forward(1.0)
    found = machine(stage)
    assert found.record.phase is InstancePhase.LAUNCHING
    assert all(begun_s <= found.asked_s for begun_s in found.absent_s)


def test_the_attempt_that_the_pointer_names_is_seen_however_old_it_is() -> None:
    """A claim that was held up can land when two successors have come and gone: somebody must close it."""
    stage = Stage()
    closed = [attempt(g, phase=AttemptPhase.CLOSED, closing=Closing("given up")) for g in (1, 2, 3)]
    stage.submit(*closed, attempt(4))
    stage.buckets.pointer = pointer(1)
    stage.settle()
    assert [a.generation for a in stage.view().attempts] == [1, 3, 4]
