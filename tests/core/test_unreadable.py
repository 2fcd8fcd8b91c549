"""A pointer that is garbage or gone, and failures before the training: stopped, told, not repeated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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
    record,
    running,
    view,
    waiting,
)

from outlast.protocol.messages import AgentState, Failure
from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.actions import Launch, ReadPointer, TakeGeneration
from outlast_orchestrator.core.errors import Capacity, Scope, ScopeKind
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.types import AttemptPhase, InstancePhase, JobState, Progress
from outlast_orchestrator.core.view import Call, CallDone, CallKind, JobView, PointerSeen

GARBAGE = PointerSeen(NOW_S, None, "not JSON", garbage=True)
HOPELESS = Failure("restore", "none of 3 checkpoints verifies", fatal=True)


def _failed(why: str = "no", **more: Any) -> Progress:
    values: dict[str, Any] = {"generation_max": 1, "failed_number": 0, "handled_number": 0}
    return Progress("j1", JobState.FAILED, why, **{**values, **more})


def _resumed(view_: JobView) -> JobView:
    return replace(view_, job=replace(JOB, wanted_number=1, wanted_by="resumed by ann"))


# a release whose reason is a failure


def _released(state: AgentState, **more: Any) -> JobView:
    node = heard("m1", 1, state, **more)
    return running(
        pointer_=pointer(1, PointerState.RELEASED),
        instances=(machine("m1", node),),
        attempts=(attempt(1, "m1"),),
    )


def test_a_failure_before_the_training_counts_although_the_pointer_only_says_released() -> None:
    stopped = after(_released(AgentState.FAILED, failure=HOPELESS))
    assert stopped.progress.state is JobState.FAILED
    assert "none of 3 checkpoints" in stopped.progress.why
    assert not actions(decided(stopped), TakeGeneration)
    assert stopped.instances[0].record.phase is InstancePhase.TERMINATING


def test_a_failure_that_is_not_fatal_is_tried_again_within_the_budget() -> None:
    disk = Failure("restore", "this node's disk: no space left")
    view_ = after(_released(AgentState.FAILED, failure=disk))
    assert (view_.progress.state, view_.progress.failures) == (JobState.RECOVERING, 1)
    assert not actions(decided(view_), TakeGeneration)  # back-off


def test_the_last_word_of_a_node_that_never_trained_is_waited_for_while_it_can_come() -> None:
    assert after(_released(AgentState.RESTORING)).attempts[0].open
    assert not after(_released(AgentState.RESTORING, silent_s=60.0)).attempts[0].open
    assert not after(_released(AgentState.DRAINING)).attempts[0].open


# garbage


def test_over_garbage_an_attempt_that_waits_is_stopped_with_its_machine() -> None:
    before = view(
        progress=Progress("j1", JobState.RECOVERING, generation_max=2, durable=REF),
        attempts=(waiting(2, "m1"),),
        instances=(machine("m1", heard("m1", 2, AgentState.FAILED)),),
        pointer=GARBAGE,
    )
    stopped = after(before)
    assert stopped.progress.state is JobState.FAILED
    assert stopped.instances[0].record.phase is InstancePhase.TERMINATING


def test_over_garbage_a_trainer_works_on_until_its_agent_gives_up() -> None:
    assert after(replace(running(), pointer=GARBAGE)).progress.state is JobState.RUNNING
    assert after(replace(running(AgentState.FAILED), pointer=GARBAGE)).progress.state is JobState.FAILED


def test_garbage_is_told_again_when_a_person_wants_to_go_on() -> None:
    decision = decided(_resumed(view(progress=_failed(), pointer=GARBAGE)))
    assert len(events(decision, Kind.TELL)) == 1
    again = after(_resumed(view(progress=_failed(), pointer=GARBAGE)), decision)
    assert again.progress.state is JobState.FAILED
    assert events(decided(again), Kind.TELL) == []


def test_garbage_that_was_read_before_the_wish_is_looked_at_once_more() -> None:
    old = replace(GARBAGE, begun_s=NOW_S - 0.5)
    decision = decided(_resumed(view(progress=_failed(), pointer=old)))
    assert events(decision, Kind.TELL) == []
    assert actions(decision, ReadPointer)
    mended = after(_resumed(view(progress=_failed(), pointer=old)), decision)
    mended = replace(mended, pointer=PointerSeen(NOW_S, pointer(1, PointerState.RELEASED), ""))
    assert after(mended).progress.state is JobState.RECOVERING


def test_a_wish_to_go_on_over_garbage_is_answered_whatever_the_job_was() -> None:
    for state in (JobState.PAUSED, JobState.CANCELLED):
        resting = Progress("j1", state, generation_max=1, handled_number=0)
        assert after(_resumed(view(progress=resting, pointer=GARBAGE))).progress.state is JobState.FAILED


def test_garbage_does_not_turn_a_paused_or_finished_job_into_a_failed_one() -> None:
    for state in (JobState.PAUSED, JobState.SUCCEEDED, JobState.CANCELLED):
        resting = view(progress=Progress("j1", state, generation_max=1, handled_number=0), pointer=GARBAGE)
        assert after(resting).progress.state is state


# gone


def test_a_node_that_gave_up_because_the_pointer_vanished_does_not_keep_its_machine() -> None:
    before = running(AgentState.FAILED, pointer_=None)
    stopped = after(before)
    assert stopped.progress.state is JobState.FAILED
    assert stopped.instances[0].record.phase is InstancePhase.TERMINATING
    ended = replace(stopped, instances=())
    closed = after(ended)
    assert not closed.attempts[0].open
    # Put back, it names this writer as running: the next attempt may step over it.
    assert closed.progress.closed == ((1, "w1"),)


def test_a_vanished_pointer_is_an_alarm_also_when_nobody_heard_of_a_durable_step() -> None:
    claimed_once = Progress("j1", JobState.RECOVERING, generation_max=1, closed=((1, "w1"),))
    decision = decided(view(progress=claimed_once))
    assert after(view(progress=claimed_once), decision).progress.state is JobState.FAILED
    assert not actions(decision, TakeGeneration)


def test_what_was_read_before_a_person_put_things_right_decides_nothing() -> None:
    stale = PointerSeen(NOW_S - 20, None, "")
    before = _resumed(view(progress=_failed(durable=REF), pointer=stale))
    decision = decided(before)
    going = after(before, decision)
    assert going.progress.state is JobState.RECOVERING
    assert actions(decision, ReadPointer)
    still = decided(going)
    assert after(going, still).progress.state is JobState.RECOVERING
    assert not actions(still, TakeGeneration)
    assert not actions(still, Launch)
    back = replace(going, pointer=PointerSeen(NOW_S, pointer(1), ""))
    assert after(back).progress.state is not JobState.FAILED


def test_a_refused_launch_is_no_lost_machine_though_the_pointer_could_not_be_read_meanwhile() -> None:
    """Found by the simulation: the refusal came in a tick in which nothing could be planned."""
    asked = record("m1", InstancePhase.LAUNCHING, installed=False)
    refusal = CallDone(
        Call(CallKind.LAUNCH, "m1-1"), error=Capacity("none", Scope(ScopeKind.ZONE, "here/r1/r1-a"))
    )
    before = view(
        progress=Progress("j1", generation_max=1),
        attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),),
        instances=(machine("m1", record=asked, seen=None),),
        pointer=PointerSeen(NOW_S, None, "no answer from the bucket"),
        done=(refusal,),
    )
    blind = after(before)
    assert blind.instances == ()
    sighted = replace(blind, pointer=PointerSeen(NOW_S, None, ""), blocks=())
    assert after(sighted).attempts[0].open
    assert actions(decided(sighted), Launch)


def test_why_a_job_rests_is_not_hidden_by_a_bucket_that_cannot_be_read() -> None:
    unread = PointerSeen(NOW_S, None, "the bucket answered 503")
    resting = view(progress=_failed("out of memory"), pointer=unread, instances=(machine("m1"),))
    assert after(resting).progress.why == "out of memory"
    at_work = running(pointer=unread)
    assert "can't be read" in after(at_work).progress.why
