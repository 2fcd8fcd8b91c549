"""How a job ends, fails and goes on, and what people's wishes make of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.core.build import (
    JOB,
    NOW_AT,
    NOW_S,
    REF,
    actions,
    after,
    attempt,
    decided,
    heard,
    lost,
    machine,
    pointer,
    record,
    running,
    seen,
    told,
    view,
    waiting,
)

from outlast.protocol.messages import AgentState, CommandKind, Failure, SaveStatus, WriterRef
from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.actions import (
    Launch,
    ReadPointer,
    TakeGeneration,
    Terminate,
)
from outlast_orchestrator.core.types import (
    AttemptPhase,
    InstancePhase,
    JobState,
    Progress,
    Restart,
    Wanted,
)
from outlast_orchestrator.core.view import Call, CallDone, CallKind, EndProof, PointerSeen


def answered(generation: int) -> tuple[CallDone, ...]:
    return (CallDone(Call(CallKind.GENERATION, "j1"), generation=generation),)


def test_success_is_what_the_pointer_says_and_the_machine_is_released() -> None:
    before = running(AgentState.ENDED, pointer_=pointer(1, PointerState.ENDED, exit_code=0))
    view_ = after(before)
    assert view_.progress.state is JobState.SUCCEEDED
    assert view_.instances[0].record.phase is InstancePhase.TERMINATING
    assert actions(decided(view_), Terminate)
    assert not actions(decided(view_), TakeGeneration)


def crashed(**more: Any) -> tuple[Failure, dict[str, Any]]:
    failure = Failure("trainer", "the trainer ended with 1", exit_code=1, tail="ValueError: x")
    values: dict[str, Any] = {
        "instances": (machine("m1", heard("m1", 1, AgentState.ENDED, failure=failure)),),
        "pointer_": pointer(1, PointerState.ENDED, exit_code=1),
        "attempts": (attempt(1, "m1", start_step=100),),
    }
    return failure, {**values, **more}


def test_a_crash_is_tried_again_in_place_over_that_very_writer() -> None:
    _, values = crashed()
    before = running(**values)
    view_ = after(before)
    assert view_.progress.state is JobState.RECOVERING
    assert view_.progress.failures == 1
    assert view_.progress.pending_over_ended == "w1"
    assert not actions(decided(view_), TakeGeneration)  # back-off
    later = replace(view_, now_at=NOW_AT + 10)
    assert actions(decided(later), TakeGeneration)
    taken = after(replace(later, done=answered(2)))
    assert taken.attempts[-1].launches == ("m1",)  # the environment there is warm
    commands = told(decided(taken), "m1")
    assert commands is not None
    assert commands[1].permission is not None
    assert commands[1].permission.over_ended == WriterRef(1, "w1")
    moved_on = replace(taken, pointer=PointerSeen(NOW_S, pointer(1, PointerState.ENDED, writer="wx"), ""))
    other = told(decided(moved_on), "m1")
    assert other is not None
    assert other[1].permission is not None
    assert other[1].permission.over_ended is None


def test_crashes_without_progress_stop_and_tell_and_a_person_can_continue() -> None:
    _, values = crashed()
    start = running(**values)
    spent = replace(start, progress=replace(start.progress, failures=3, fruitless=1))
    stopped = after(spent)
    assert stopped.progress.state is JobState.FAILED
    assert "max_failures is 3" in stopped.progress.why
    assert stopped.instances[0].record.phase is InstancePhase.TERMINATING
    assert not actions(decided(stopped), TakeGeneration)
    resumed = replace(stopped, job=replace(JOB, wanted_number=1, wanted_by="resumed by ann"))
    decision = decided(resumed)
    assert after(resumed, decision).progress.state is JobState.RECOVERING
    assert after(resumed, decision).progress.pending_over_ended == "w1"
    assert actions(decision, TakeGeneration)


def test_progress_between_two_crashes_gives_the_whole_budget_again() -> None:
    _, values = crashed(attempts=(attempt(1, "m1", start_step=50),))
    start = running(**values)
    view_ = after(replace(start, progress=replace(start.progress, failures=3)))
    assert view_.progress.state is JobState.RECOVERING
    assert view_.progress.failures == 1


def test_a_failed_setup_counts_as_failure_and_nothing_was_claimed() -> None:
    failure = Failure("setup", "setup ended with 2", exit_code=2)
    before = view(
        progress=Progress("j1", generation_max=1),
        attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),),
        instances=(machine("m1", heard("m1", 1, AgentState.FAILED, failure=failure, state_s=NOW_S - 1)),),
    )
    view_ = after(before)
    assert view_.progress.failures == 1
    assert not view_.attempts[0].open
    assert view_.progress.closed == ()  # only a writer is ever closed


@pytest.mark.parametrize("wanted", [Wanted.PAUSED, Wanted.CANCELLED])
def test_pause_and_cancel_drain_then_release(wanted: Wanted) -> None:
    before = running(job=replace(JOB, wanted=wanted, wanted_number=1, wanted_by="by ann"))
    decision = decided(before)
    assert [c.kind for c in told(decision, "m1") or ()] == [CommandKind.DRAIN]
    released = replace(
        after(before, decision), pointer=PointerSeen(NOW_S, pointer(1, PointerState.RELEASED), "")
    )
    view_ = after(released)
    assert view_.progress.state.value == wanted.value.upper()
    assert view_.instances[0].record.phase is InstancePhase.TERMINATING
    again = replace(view_, job=replace(JOB, wanted_number=2, wanted_by="resumed"))
    assert actions(decided(again), TakeGeneration) == [TakeGeneration("j1", 2)]


def test_a_drain_that_never_ends_is_ended() -> None:
    before = running(
        job=replace(JOB, wanted=Wanted.PAUSED, wanted_number=1),
        attempts=(attempt(1, "m1", draining_since=NOW_AT - 1000),),
    )
    assert after(before).instances[0].record.phase is InstancePhase.TERMINATING


def test_a_restart_drains_first_and_reuses_the_machine() -> None:
    before = running(job=replace(JOB, restart=Restart(1), wanted_number=1, revision=2))
    decision = decided(before)
    assert [c.kind for c in told(decision, "m1") or ()] == [CommandKind.DRAIN]
    assert not actions(decision, TakeGeneration)
    free = replace(
        after(before, decision),
        pointer=PointerSeen(NOW_S, pointer(1, PointerState.RELEASED), ""),
        instances=(machine("m1", heard("m1", 1, AgentState.RELEASED)),),
    )
    assert actions(decided(free), TakeGeneration) == [TakeGeneration("j1", 2)]
    taken = after(replace(after(free), done=answered(2)))
    assert taken.attempts[-1].revision == 2
    assert taken.attempts[-1].launches == ("m1",)
    assert taken.progress.restart_done == 1
    assert not after(taken).attempts[-1].abandoned


def test_restart_now_does_not_wait_for_a_save() -> None:
    before = running(job=replace(JOB, restart=Restart(1, now=True), wanted_number=1))
    assert [c.kind for c in told(decided(before), "m1") or ()] == [CommandKind.STOP]


def test_a_pointer_that_vanished_is_an_alarm_and_never_a_start_at_0() -> None:
    before = view(progress=Progress("j1", JobState.RECOVERING, generation_max=2, durable=REF))
    decision = decided(before)
    assert after(before, decision).progress.state is JobState.FAILED
    assert "step 100 was durable" in after(before, decision).progress.why
    assert not actions(decision, TakeGeneration)


def test_a_garbage_pointer_stops_planning_and_tells() -> None:
    garbage = PointerSeen(NOW_S, None, "not JSON", garbage=True)
    stopped = after(view(progress=Progress("j1", generation_max=1), pointer=garbage))
    assert stopped.progress.state is JobState.FAILED
    runs = after(replace(running(), pointer=garbage))
    assert runs.attempts[0].open
    assert runs.instances[0].record.phase is InstancePhase.READY


def test_a_failed_job_stays_failed_when_its_last_machine_goes() -> None:
    failed = replace(running().progress, state=JobState.FAILED, why="no", failed_number=0)
    assert after(running(progress=failed, instances=(lost("m1", 1),))).progress.state is JobState.FAILED


def test_max_duration_stops() -> None:
    before = running(job=replace(JOB, max_duration_s=30.0))
    assert after(before).progress.state is JobState.FAILED
    assert [c.kind for c in told(decided(before), "m1") or ()] == [CommandKind.DRAIN]


def test_a_machine_whose_agent_never_spoke_is_ended_and_replaced() -> None:
    mute = machine(
        "m1",
        record=record("m1", InstancePhase.BOOTING, started_at=NOW_AT - 700),
        unheard_s=650.0,
        seen=replace(seen("m1"), started_at=NOW_AT - 700),
    )
    before = view(
        progress=Progress("j1", generation_max=1),
        attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),),
        instances=(mute,),
    )
    view_ = after(before)
    assert view_.instances[0].record.phase is InstancePhase.TERMINATING
    assert len(actions(decided(view_), Launch)) == 1


def test_the_same_view_gives_the_same_decision() -> None:
    assert decided(running()) == decided(running())


def test_a_checkpoint_that_is_reported_is_looked_up_in_the_pointer_soon() -> None:
    """What is durable is known from the bucket, never from a report; but it should be known soon."""
    newer = replace(REF, key="manifests/000000200-g1-bb.json", step=200)
    reports = heard("m1", 1, AgentState.RUNNING, save=SaveStatus(durable=newer))
    old = PointerSeen(NOW_S - 5, pointer(1), "")
    reading = replace(running(instances=(machine("m1", reports),)), pointer=old)
    decision = decided(reading)
    assert actions(decision, ReadPointer)
    assert after(reading, decision).progress.durable == REF
    known = heard("m1", 1, AgentState.RUNNING, save=SaveStatus(durable=REF))
    assert not actions(decided(replace(reading, instances=(machine("m1", known),))), ReadPointer)


def test_the_permission_to_continue_outlives_a_machine_that_is_lost_before_its_claim() -> None:
    """Found by the simulation: the next attempt waited for ever for a word that its forerunner had taken."""
    _, values = crashed()
    crash = after(running(**values))
    taken = after(replace(crash, now_at=NOW_AT + 10, done=answered(2)))
    gone = after(replace(taken, instances=(lost("m1", 2, EndProof.HOST),)))
    assert not gone.attempts[-1].open
    again = after(replace(gone, done=answered(3)))
    assert again.attempts[-1].permission_over_ended == "w1"
    claimed = after(replace(again, pointer=PointerSeen(NOW_S, pointer(3), "")))
    assert claimed.progress.pending_over_ended == ""
