"""Attempts that ended because the health gate refused their saves: once more, then stop and tell."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.build import (
    JOB,
    NOW_S,
    REF,
    actions,
    after,
    attempt,
    decided,
    events,
    heard,
    machine,
    pointer,
    running,
)
from tests.core.gangs import node, training

from outlast.protocol.messages import HEALTH, AgentState, Failure
from outlast.protocol.objects import ORDERED, UNHEALTHY, ManifestRef, PointerState
from outlast.protocol.values import replace
from outlast_orchestrator.core.actions import TakeGeneration
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.relaunch import Again, StopAndTell, after_unhealthy
from outlast_orchestrator.core.types import JobState, Progress
from outlast_orchestrator.core.view import JobView, PointerSeen

WHY = f"{UNHEALTHY}: 3 in a row were quarantined; the newest: step 140 is quarantined: not finite: m.pt:w"
FAILURE = Failure(HEALTH, WHY)
NEWER = ManifestRef("manifests/000000120-g2-bb.json", "xxh3-128:01", 120)


def ended(head: ManifestRef | None = REF, *, reported: bool = True, **counters: Any) -> JobView:
    """Generation 1 has released for its health, with that head; its report has come through, or not."""
    state, failure = (AgentState.FAILED, FAILURE) if reported else (AgentState.RUNNING, None)
    kept = (head,) if head is not None else ()
    found = running(
        instances=(machine("m1", heard("m1", 1, state, failure=failure)),),
        attempts=(attempt(1, "m1", start_step=100),),
        pointer_=pointer(1, PointerState.RELEASED, head=head, kept=kept, why=WHY),
    )
    return replace(found, progress=replace(found.progress, durable=head, **counters))


def released(view: JobView, why: str) -> JobView:
    assert view.pointer.pointer is not None
    return replace(view, pointer=PointerSeen(NOW_S, replace(view.pointer.pointer, why=why), ""))


@pytest.mark.parametrize("reported", [True, False])
def test_the_first_time_it_goes_on_from_the_last_good_checkpoint(reported: bool) -> None:
    before = ended(reported=reported)
    decision = decided(before)
    view = after(before, decision)
    assert view.progress.state is JobState.RECOVERING
    assert "once more, from step 100" in view.progress.why
    assert (view.progress.unhealthy, view.progress.unhealthy_head) == (1, REF.name)
    assert (view.progress.failures, view.progress.fruitless) == (0, 0)
    (event,) = events(decision, Kind.ATTEMPT_UNHEALTHY)
    assert event.why == WHY
    assert event.data == {"good": REF.name, "times": "1"}
    assert not events(decision, Kind.ATTEMPT_FAILED)
    later = replace(view, now_at=view.now_at + 10)
    assert actions(decided(later), TakeGeneration)


def test_the_second_time_it_stops_and_tells_what_to_do() -> None:
    before = ended(unhealthy=1, unhealthy_head=REF.name)
    decision = decided(before)
    view = after(before, decision)
    assert view.progress.state is JobState.FAILED
    assert not actions(decided(view), TakeGeneration)
    (told,) = events(decision, Kind.TELL)
    for words in (
        "not finite: m.pt:w", "the last good state is step 100", "the loss and the learning rate",
        "`outlast admin restart job --from STEP`", "`checkpoint.health`", "`outlast update job FILE`",
        "`outlast resume job`",
    ):  # fmt: skip
        assert words in told.why


def test_a_healthy_checkpoint_in_between_is_a_new_beginning() -> None:
    view = after(ended(NEWER, unhealthy=1, unhealthy_head=REF.name))
    assert view.progress.state is JobState.RECOVERING
    assert (view.progress.unhealthy, view.progress.unhealthy_head) == (1, NEWER.name)


def test_a_lost_machine_in_between_is_none() -> None:
    """Nothing new was saved, so it is the same trouble."""
    lost = ended(unhealthy=1, unhealthy_head=REF.name)
    lost = released(lost, "notice: terminate")
    quiet = machine("m1", heard("m1", 1, AgentState.RELEASED))
    view = after(replace(lost, instances=(quiet,)))
    assert (view.progress.unhealthy, view.progress.unhealthy_head) == (1, REF.name)
    assert view.progress.state is not JobState.FAILED


def test_without_any_checkpoint_it_begins_anew_once() -> None:
    view = after(ended(None))
    assert "once more, from the beginning" in view.progress.why
    failed = after(ended(None, unhealthy=1, unhealthy_head="")).progress
    assert failed.state is JobState.FAILED
    assert "the last good state is the beginning" in failed.why
    assert "--from" not in failed.why


def test_a_person_who_continues_it_gives_it_a_new_start() -> None:
    failed = after(ended(unhealthy=1, unhealthy_head=REF.name))
    resumed = replace(failed, job=replace(JOB, wanted_number=1, wanted_by="resumed by ann"))
    decision = decided(resumed)
    assert after(resumed, decision).progress.state is JobState.RECOVERING
    assert after(resumed, decision).progress.unhealthy == 0
    assert actions(decision, TakeGeneration)


def test_who_left_when_told_to_left_for_no_trouble_of_its_own() -> None:
    told = released(ended(reported=False), f"{ORDERED} drain: paused; meanwhile {UNHEALTHY}")
    assert after(told).progress.unhealthy == 0


def test_of_a_gang_the_node_with_the_lost_state_is_believed_and_not_those_that_fell_with_it() -> None:
    fell = Failure("trainer", "the trainer failed, code 3", exit_code=3)
    found = training(
        node("m0", 0, AgentState.ENDED, failure=fell),
        node("m1", 1, AgentState.FAILED, failure=FAILURE),
        pointer_=pointer(1, PointerState.ENDED, exit_code=3),
    )
    decision = decided(found)
    assert [event.why for event in events(decision, Kind.ATTEMPT_UNHEALTHY)] == [WHY]
    progress = after(found, decision).progress
    assert (progress.unhealthy, progress.failures) == (1, 0)


@pytest.mark.parametrize("state", [PointerState.RELEASED, PointerState.ENDED])
def test_of_a_gang_a_machine_that_is_lost_meanwhile_explains_no_lost_state(state: PointerState) -> None:
    found = training(
        node("m0", 0, AgentState.FAILED, failure=FAILURE),
        node("m1", 1, AgentState.RUNNING, silent_s=20.0),
        pointer_=pointer(1, state, exit_code=3 if state is PointerState.ENDED else None, why=WHY),
    )
    decision = decided(found)
    assert events(decision, Kind.ATTEMPT_UNHEALTHY)
    assert after(found, decision).progress.unhealthy == 1


@pytest.mark.parametrize(("unhealthy", "kind"), [(1, Again), (2, StopAndTell), (3, StopAndTell)])
def test_once_more_and_then_a_person(unhealthy: int, kind: type) -> None:
    progress = Progress("j1", unhealthy=unhealthy, failures=2, fruitless=1)
    outcome = after_unhealthy(progress, FAILURE, REF, "job")
    assert isinstance(outcome, kind)
    assert (outcome.failures, outcome.fruitless) == (2, 1)
