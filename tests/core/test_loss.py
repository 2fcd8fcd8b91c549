"""What a lost, silent or noticed machine makes the controller do, and above all what it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.core.build import (
    LIMITS,
    NOW_AT,
    NOW_S,
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
    waiting,
)

from outlast.protocol.messages import AgentState, CommandKind, Notice
from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.actions import Launch, ListRegion, ReadPointer, TakeGeneration, Tell, Terminate
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.types import AttemptPhase, InstancePhase, JobState
from outlast_orchestrator.core.view import CloudState, EndProof, InstanceView, PointerSeen


def test_a_running_job_is_left_alone() -> None:
    decision = decided(after(running()))
    assert decision.actions == (Tell("m1", ()),)
    assert told(decision, "m1") == ()


def test_a_market_loss_closes_the_writer_and_plans_the_next_attempt() -> None:
    before = running(instances=(lost("m1", 1),))
    decision = decided(before)
    view = after(before, decision)
    assert view.attempts[0].phase is AttemptPhase.CLOSED
    assert view.attempts[0].closing is not None
    assert len(view.attempts[0].closing.witnesses) == 2
    assert view.progress.closed == ((1, "w1"),)
    assert view.progress.failures == 0
    assert view.progress.state is JobState.RECOVERING
    assert actions(decision, TakeGeneration) == [TakeGeneration("j1", 2)]
    assert [e.data["verdict"] for e in events(decision, Kind.INSTANCE_GONE)] == ["preempted"]


def off(launch: str, **more: Any) -> InstanceView:
    """Its connection closed, and the cloud lists it as switched off."""
    ended = lost(launch, 1)
    return replace(ended, seen=seen(launch, CloudState.OFF, end=EndProof.HOST), **more)


def test_a_machine_that_is_off_is_lost_at_once() -> None:
    """Not at the end of its lease: it does not run, although it is still there."""
    before = running(instances=(off("m1"),))
    decision = decided(before)
    view = after(before, decision)
    assert view.attempts[0].phase is AttemptPhase.CLOSED
    assert actions(decision, TakeGeneration) == [TakeGeneration("j1", 2)]
    assert [e.data["verdict"] for e in events(decision, Kind.INSTANCE_GONE)] == ["host lost"]


def test_a_machine_that_we_end_is_not_gone_while_it_is_only_off() -> None:
    ending = off("m1", record=record("m1", InstancePhase.TERMINATING))
    decision = decided(running(instances=(ending,)))
    assert actions(decision, Terminate)
    assert not events(decision, Kind.INSTANCE_GONE)


def test_gone_by_the_listing_is_not_enough_while_the_agent_speaks() -> None:
    speaking = replace(lost("m1", 1), heard=heard("m1", 1, AgentState.RUNNING, silent_s=0.5))
    decision = decided(running(instances=(speaking,)))
    assert not actions(decision, TakeGeneration)
    assert after(running(), decision).attempts[0].open


def test_an_end_is_looked_for_in_the_pointer_before_a_loss_is_believed() -> None:
    """The node may have written `ended` with its last breath: an older reading proves nothing."""
    before = running(instances=(lost("m1", 1),))
    stale = replace(before, pointer=PointerSeen(NOW_S - 3.5, pointer(1), ""))
    decision = decided(stale)
    assert actions(decision, ReadPointer)
    assert not actions(decision, TakeGeneration)
    ended = replace(before, pointer=PointerSeen(NOW_S, pointer(1, PointerState.ENDED, exit_code=0), ""))
    assert after(ended).progress.state is JobState.SUCCEEDED


@pytest.mark.parametrize("silent_s", [13.0, 300.0, LIMITS.lease_s + LIMITS.lease_margin_s - 1])
def test_a_silent_node_that_the_cloud_lists_as_running_is_only_watched(silent_s: float) -> None:
    quiet = machine("m1", heard("m1", 1, AgentState.RUNNING, silent_s=silent_s))
    before = running(instances=(quiet,))
    decision = decided(before)
    assert after(before, decision).progress.state is JobState.UNREACHABLE
    assert not actions(decision, TakeGeneration)
    assert not actions(decision, Terminate)
    assert actions(decision, ListRegion) == [ListRegion("here", "r1")]


def test_silence_beyond_the_lease_closes_and_terminates() -> None:
    quiet = machine("m1", heard("m1", 1, AgentState.RUNNING, silent_s=700.0))
    before = running(instances=(quiet,))
    decision = decided(before)
    view = after(before, decision)
    assert view.progress.closed == ((1, "w1"),)
    assert view.instances[0].record.phase is InstancePhase.TERMINATING
    assert actions(decision, TakeGeneration)
    assert actions(decided(view), Terminate)  # and it stays terminating until it is proven gone


def test_an_unheard_node_after_a_restart_of_the_controller_is_not_dead() -> None:
    unheard = machine("m1", None, unheard_s=30.0)
    before = running(instances=(unheard,))
    decision = decided(before)
    assert not actions(decision, TakeGeneration)
    assert after(before, decision).attempts[0].open


def test_unknown_region_never_counts_as_absence() -> None:
    quiet = heard("m1", 1, AgentState.RUNNING, silent_s=100.0)
    unknown = machine("m1", quiet, region_problem="503 from the cloud", absent_s=())
    decision = decided(running(instances=(unknown,)))
    assert not actions(decision, TakeGeneration)


@pytest.mark.parametrize(
    ("absences", "is_gone"),
    [
        ((NOW_S - 3, NOW_S - 2, NOW_S - 1), True),
        ((NOW_S - 2, NOW_S - 1), False),
        ((NOW_S - 30, NOW_S - 25, NOW_S - 1), False),  # two were begun before its last sign of life
    ],
)
def test_gone_by_absence_takes_three_listings_after_the_last_sign_of_life(
    absences: tuple[float, ...], is_gone: bool
) -> None:
    quiet = heard("m1", 1, AgentState.RUNNING, silent_s=20.0)
    decision = decided(running(instances=(machine("m1", quiet, absent_s=absences),)))
    assert bool(actions(decision, TakeGeneration)) is is_gone


def test_a_notice_plans_the_replacement_while_the_old_node_saves() -> None:
    noticed = heard("m1", 1, AgentState.DRAINING, notice=Notice("terminate", 110.0))
    before = running(instances=(machine("m1", noticed),))
    decision = decided(before)
    view = after(before, decision)
    assert actions(decision, TakeGeneration)
    assert view.attempts[0].open
    assert view.attempts[0].noticed
    assert view.instances[0].record.phase is InstancePhase.READY  # it is not ended by us
    assert view.progress.state is JobState.RECOVERING


def test_a_withdrawn_notice_abandons_the_replacement() -> None:
    going_on = machine("m1", heard("m1", 1, AgentState.RUNNING))
    spare = machine("m2", heard("m2", 2, AgentState.WAITING))
    before = running(attempts=(attempt(1, "m1", noticed=True), waiting(2, "m2")), instances=(going_on, spare))
    decision = decided(before)
    view = after(before, decision)
    assert not view.attempts[0].noticed
    assert view.attempts[1].abandoned
    assert view.attempts[1].open  # abandoned is not closed: its claim may be on its way
    assert view.instances[1].record.phase is InstancePhase.READY
    assert [c.kind for c in told(decision, "m2") or ()] == [CommandKind.ABANDON]


@pytest.mark.parametrize(("generation", "state"), [(0, AgentState.IDLE), (1, AgentState.DRAINING)])
def test_a_notice_that_was_withdrawn_from_a_node_that_no_longer_trains_keeps_the_replacement(
    generation: int, state: AgentState
) -> None:
    """Its agent was restarted (so it speaks of no attempt, and will release), or its trainer has left."""
    leaves = machine("m1", heard("m1", generation, state))
    spare = machine("m2", heard("m2", 2, AgentState.WAITING))
    before = running(attempts=(attempt(1, "m1", noticed=True), waiting(2, "m2")), instances=(leaves, spare))
    view = after(before)
    assert view.attempts[0].noticed
    assert not view.attempts[1].abandoned


def test_an_abandoned_attempt_ends_when_it_acknowledged_and_the_pointer_does_not_name_it() -> None:
    gave_up = heard("m2", 2, AgentState.ABANDONED, state_s=NOW_S - 1)
    before = running(
        attempts=(attempt(1, "m1"), waiting(2, "m2", abandoned=True)),
        instances=(machine("m1", heard("m1", 1, AgentState.RUNNING)), machine("m2", gave_up)),
    )
    unread = replace(before, pointer=PointerSeen(NOW_S - 2, pointer(1), ""))
    assert after(unread).attempts[1].open
    view = after(before)
    assert not view.attempts[1].open
    assert view.instances[1].record.phase is InstancePhase.TERMINATING
    assert view.instances[0].record.phase is InstancePhase.READY


def test_a_late_claim_of_an_abandoned_attempt_is_drained() -> None:
    claimed = heard("m2", 2, AgentState.RUNNING)
    before = running(
        progress=replace(running().progress, generation_max=2),
        attempts=(attempt(1, "m1", phase=AttemptPhase.CLOSED), waiting(2, "m2", abandoned=True)),
        instances=(machine("m2", claimed),),
        pointer_=pointer(2),
    )
    decision = decided(before)
    assert [c.kind for c in told(decision, "m2") or ()] == [CommandKind.DRAIN]


def test_a_claim_that_arrives_after_its_attempt_was_closed_is_found_and_closed_with_proof() -> None:
    """Its machine is gone, the write was on its way: the next claimer must not wait for ever."""
    before = running(
        attempts=(waiting(2, "m2", phase=AttemptPhase.CLOSED, abandoned=True),),
        instances=(),
        pointer_=pointer(2),
    )
    view = after(before)
    assert view.progress.closed == ((2, "w2"),)
    assert not view.attempts[0].open


def test_a_machine_that_a_person_ended_stops_the_job() -> None:
    before = running(instances=(lost("m1", 1, EndProof.OURS_OR_PERSON),))
    decision = decided(before)
    assert after(before, decision).progress.state is JobState.FAILED
    assert "ended it, and it was not Outlast" in after(before, decision).progress.why
    assert not actions(decision, TakeGeneration)


def test_a_lost_machine_that_was_never_heard_from_is_replaced_under_the_same_generation() -> None:
    dead = machine(
        "m2",
        record=record("m2", InstancePhase.BOOTING),
        seen=seen("m2", state=lost("m2", 2).seen.state),  # type: ignore[union-attr]
        seen_s=NOW_S - 1,
    )
    before = running(
        attempts=(
            attempt(1, "m1", phase=AttemptPhase.CLOSED),
            waiting(2, "m2", phase=AttemptPhase.PREPARING),
        ),
        instances=(dead,),
        pointer_=pointer(1, PointerState.RELEASED),
    )
    decision = decided(before)
    assert len(actions(decision, Launch)) == 1
    assert not actions(decision, TakeGeneration)
    assert after(before, decision).attempts[1].launches == ("dice0",)


def test_a_replacement_that_is_itself_noticed_is_replaced() -> None:
    noticed = heard("m2", 2, AgentState.WAITING, notice=Notice("terminate", 60.0))
    before = running(
        attempts=(attempt(1, "m1", noticed=True), waiting(2, "m2")),
        instances=(
            machine("m1", heard("m1", 1, AgentState.DRAINING, notice=Notice("terminate", 20.0))),
            machine("m2", noticed),
        ),
    )
    view = after(before)
    assert view.attempts[1].abandoned
    acknowledged = replace(
        view,
        instances=(view.instances[0], machine("m2", heard("m2", 2, AgentState.ABANDONED))),
    )
    decision = decided(after(acknowledged))
    assert actions(decision, TakeGeneration) == [TakeGeneration("j1", 3)] or actions(
        decided(acknowledged), TakeGeneration
    )


def test_barren_attempts_stop_the_job() -> None:
    work = replace(running().job.work, checkpoint=replace(running().job.work.checkpoint, every_s=30.0))
    before = running(
        job=replace(running().job, work=work),
        attempts=(attempt(1, "m1", start_step=100, running_at=NOW_AT - 100),),
        instances=(lost("m1", 1),),
    )
    twice = replace(before, progress=replace(before.progress, fruitless=2))
    assert after(before).progress.state is JobState.RECOVERING
    assert after(before).progress.fruitless == 1
    assert after(twice).progress.state is JobState.FAILED
    assert REF.step == 100
