"""A job's way from submit to its end: planning, launching, claiming, ending, people's wishes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.core.build import (
    JOB,
    NOW_AT,
    NOW_S,
    OFFER,
    REF,
    actions,
    after,
    attempt,
    decided,
    events,
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

from outlast.protocol.messages import AgentState, CommandKind, Failure, WriterRef
from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.actions import (
    Install,
    Launch,
    Save,
    TakeGeneration,
    Terminate,
)
from outlast_orchestrator.core.errors import Capacity, Denied, Scope, ScopeKind, Transient
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.types import (
    Asked,
    Attempt,
    AttemptPhase,
    Instance,
    InstancePhase,
    JobState,
    Progress,
    Restart,
    Wanted,
)
from outlast_orchestrator.core.view import Call, CallDone, CallKind, InstanceView, PointerSeen


def answered(generation: int) -> tuple[CallDone, ...]:
    return (CallDone(Call(CallKind.GENERATION, "j1"), generation=generation),)


def launch_done(token: str, error: Exception | None = None, problem: str = "") -> tuple[CallDone, ...]:
    return (CallDone(Call(CallKind.LAUNCH, token), error, problem),)  # type: ignore[arg-type]


def test_a_new_job_takes_a_generation_first() -> None:
    decision = decided(view())
    assert actions(decision, TakeGeneration) == [TakeGeneration("j1", 1)]
    assert not actions(decision, Launch)


def test_the_generation_is_above_both_store_and_pointer() -> None:
    """A store that was restored from a backup knows less than the bucket."""
    restored = view(progress=Progress("j1", generation_max=3, durable=REF), pointer_=pointer(7))
    machine_gone = replace(restored, listening_s=10_000.0)
    decision = decided(machine_gone)
    assert after(machine_gone, decision).progress.generation_max == 7
    assert events(decision, Kind.ATTEMPT_ADOPTED)


def test_the_intent_is_saved_in_the_decision_that_launches() -> None:
    decision = decided(view(done=answered(1)))
    launches = actions(decision, Launch)
    assert len(launches) == 1
    rows = [a.row for a in decision.actions if isinstance(a, Save)]
    intents = [r for r in rows if isinstance(r, Instance)]
    assert intents == [launches[0].instance]
    assert intents[0].asked is Asked.INTENDED
    kinds = [type(a) for a in decision.actions]
    assert kinds.index(Save) < kinds.index(Launch)
    saved = [r for r in rows if isinstance(r, Attempt)]
    assert saved[0].launches == (intents[0].launch_id,)


def test_nothing_is_planned_before_the_pointer_was_read() -> None:
    decision = decided(view(pointer=PointerSeen()))
    assert not actions(decision, TakeGeneration)
    unreadable = decided(view(pointer=PointerSeen(NOW_S - 1, None, "bucket: 503"), done=answered(1)))
    assert not actions(unreadable, Launch)


def launching(asked: Asked, **more: Any) -> InstanceView:
    values = {"asked": asked, "id": "", "started_at": None, "intended_at": NOW_AT - 20}
    unsure = record("m1", InstancePhase.LAUNCHING, **values)
    return machine("m1", record=unsure, seen=None, asked_s=NOW_S - 20, **more)


def test_an_uncertain_launch_is_repeated_with_the_same_token_and_nothing_else_is_asked() -> None:
    done = launch_done("m1-1", problem="time-out")
    first = view(
        progress=Progress("j1", generation_max=1),
        attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),),
        instances=(launching(Asked.INTENDED),),
        done=done,
    )
    decision = decided(first)
    repeated = actions(decision, Launch)
    assert [a.instance.request for a in repeated] == [first.instances[0].record.request]
    assert after(first, decision).instances[0].record.asked is Asked.UNSURE


def test_a_token_is_never_sent_after_its_life() -> None:
    old = launching(Asked.UNSURE)
    old = replace(old, record=replace(old.record, intended_at=NOW_AT - 3000))
    decision = decided(
        view(
            progress=Progress("j1", generation_max=1),
            attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),),
            instances=(old,),
        )
    )
    assert not actions(decision, Launch)


def test_an_uncertain_launch_is_given_up_only_after_the_lag_and_three_listings() -> None:
    def with_absences(*absent_s: float) -> bool:
        old = launching(Asked.UNSURE, absent_s=absent_s)
        old = replace(old, record=replace(old.record, intended_at=NOW_AT - 3000), asked_s=NOW_S - 1000)
        start = view(
            progress=Progress("j1", generation_max=1),
            attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),),
            instances=(old,),
        )
        return bool(actions(decided(start), Launch))

    assert not with_absences(NOW_S - 900, NOW_S - 880, NOW_S - 860)
    assert with_absences(NOW_S - 600, NOW_S - 590, NOW_S - 580)


def test_a_refusal_blocks_the_pool_and_the_next_offer_is_taken() -> None:
    other = replace(OFFER, zone="r1-b", price_usd_h=0.4)
    refused = launching(Asked.INTENDED)
    error = Capacity("none left", Scope(ScopeKind.POOL, OFFER.pool))
    before = view(
        progress=Progress("j1", generation_max=1),
        attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),),
        instances=(refused,),
        offers=(OFFER, other),
        done=launch_done("m1-1", error),
    )
    decision = decided(before)
    assert [a.instance.request.offer for a in actions(decision, Launch)] == [other]
    assert after(before, decision).blocks[0].scope == OFFER.pool
    alone = replace(before, offers=(OFFER,))
    waits = after(alone)
    assert not actions(decided(alone), Launch)
    assert waits.attempts[0].open
    assert waits.attempts[0].launches == ()  # no new generation is needed for the next try
    assert "none left" in waits.progress.why


def test_only_blocked_for_good_stops_and_tells() -> None:
    error = Denied("ec2:RunInstances is not allowed", Scope(ScopeKind.ACCOUNT, "here"))
    before = view(
        progress=Progress("j1", generation_max=1),
        attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),),
        instances=(launching(Asked.INTENDED),),
        done=launch_done("m1-1", error),
    )
    view_ = after(before)
    assert view_.progress.state is JobState.FAILED
    assert "not allowed" in view_.progress.why
    transient = replace(before, done=launch_done("m1-1", Transient("502", Scope(ScopeKind.CALL, "here"))))
    assert after(transient).progress.state is not JobState.FAILED


def test_a_booted_machine_gets_the_agent_once() -> None:
    booting = machine("m1", record=record("m1", InstancePhase.LAUNCHING, asked=Asked.ACCEPTED, id=""))
    before = view(
        progress=Progress("j1", generation_max=1),
        attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),),
        instances=(booting,),
    )
    decision = decided(before)
    assert len(actions(decision, Install)) == 1
    busy = replace(before, in_flight=frozenset({Call(CallKind.INSTALL, "m1")}))
    assert not actions(decided(busy), Install)


def test_a_waiting_node_is_told_to_run_with_what_is_closed() -> None:
    before = running(
        progress=replace(running().progress, generation_max=2, closed=((1, "w1"),)),
        attempts=(attempt(1, "m1", phase=AttemptPhase.CLOSED), waiting(2, "m2")),
        instances=(machine("m2", heard("m2", 2, AgentState.WAITING)),),
    )
    commands = told(decided(before), "m2")
    assert commands is not None
    assert [c.kind for c in commands] == [CommandKind.ASSIGN, CommandKind.RUN]
    permission = commands[1].permission
    assert permission is not None
    assert permission.closed == (WriterRef(1, "w1"),)
    assert permission.durable_step == 100
    assert permission.over_ended is None


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
        seen=seen("m1"),
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
