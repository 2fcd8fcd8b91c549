"""From submit to a node that may claim: generation, intent, launch, refusals, orders."""

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
    machine,
    pointer,
    record,
    running,
    seen,
    told,
    view,
    waiting,
)

from outlast.protocol.messages import AgentState, CommandKind, WriterRef
from outlast_orchestrator.core.actions import (
    Decision,
    Install,
    Launch,
    ReadPointer,
    Save,
    TakeGeneration,
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
    Wanted,
)
from outlast_orchestrator.core.view import Call, CallDone, CallKind, CloudState, InstanceView, PointerSeen


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


@pytest.mark.parametrize(
    ("age_s", "arrived", "fresh"),
    [(4, False, True), (6, False, False), (55, True, True), (65, True, False)],
)
def test_where_looks_are_far_apart_what_arrived_since_the_last_one_is_fresh(
    age_s: float, arrived: bool, fresh: bool
) -> None:
    """With very many jobs a tick takes longer than a reading stays "just now": a job would never start."""
    done = (CallDone(Call(CallKind.POINTER, "j1")),) if arrived else ()
    decision = decided(view(pointer=PointerSeen(NOW_S - age_s, None, ""), done=done))
    assert bool(actions(decision, TakeGeneration)) == fresh
    assert bool(actions(decision, ReadPointer)) or fresh


def launching(asked: Asked, **more: Any) -> InstanceView:
    values = {"asked": asked, "id": "", "started_at": None, "intended_at": NOW_AT - 20}
    unsure = record("m1", InstancePhase.LAUNCHING, **values)
    return machine("m1", record=unsure, seen=None, asked_s=NOW_S - 20, **more)


def saved_machine(decision: Decision) -> Instance:
    rows = [action.row for action in decision.actions if isinstance(action, Save)]
    return next(row for row in rows if isinstance(row, Instance))


def test_a_machine_that_was_given_up_before_it_was_listed_is_booked_all_the_same() -> None:
    given_up = record("m1", InstancePhase.TERMINATING, id="", started_at=None, asked=Asked.INTENDED)
    for state in (CloudState.RUNNING, CloudState.ENDED):
        listed = machine("m1", record=given_up, seen=seen("m1", state))
        start = view(job=replace(JOB, wanted=Wanted.CANCELLED), instances=(listed,))
        booked = saved_machine(decided(start))
        assert (booked.id, booked.started_at) == ("i-m1", NOW_AT - 400)


def test_a_machine_that_is_pending_costs_from_now_until_the_cloud_says_when_it_started() -> None:
    fresh = record("m1", InstancePhase.LAUNCHING, id="", started_at=None, asked=Asked.INTENDED)
    pending = machine("m1", record=fresh, seen=replace(seen("m1", CloudState.PENDING), started_at=None))
    start = view(attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),), instances=(pending,))
    once = after(start, decided(start))
    assert once.instances[0].record.started_at == NOW_AT
    again = replace(once, instances=(replace(once.instances[0], seen=seen("m1")),))
    assert after(again, decided(again)).instances[0].record.started_at == NOW_AT - 400


def test_a_machine_that_never_ran_costs_nothing() -> None:
    fresh = record("m1", InstancePhase.LAUNCHING, id="", started_at=None, asked=Asked.INTENDED)
    never = machine("m1", record=fresh, seen=replace(seen("m1", CloudState.ENDED), started_at=None))
    start = view(attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),), instances=(never,))
    assert saved_machine(decided(start)).started_at is None


def test_an_uncertain_launch_is_repeated_with_the_same_token_and_nothing_else_is_asked() -> None:
    done = launch_done("m1-1", problem="time-out")
    first = view(
        progress=Progress("j1", generation_max=1),
        attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),),
        instances=(launching(Asked.INTENDED, absent_s=(NOW_S - 3,)),),
        done=done,
    )
    decision = decided(first)
    repeated = actions(decision, Launch)
    assert [a.instance.request for a in repeated] == [first.instances[0].record.request]
    assert after(first, decision).instances[0].record.asked is Asked.UNSURE


@pytest.mark.parametrize("intended_at", [NOW_AT - 3000, NOW_AT + 1800])
def test_a_token_is_never_sent_after_its_life(intended_at: float) -> None:
    """Nor when its age is unknown: another controller with another clock wrote it "in the future"."""
    old = launching(Asked.UNSURE, absent_s=(NOW_S - 3,))
    old = replace(old, record=replace(old.record, intended_at=intended_at))
    decision = decided(
        view(
            progress=Progress("j1", generation_max=1),
            attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),),
            instances=(old,),
        )
    )
    assert not actions(decision, Launch)


def test_a_token_is_sent_again_only_after_a_look_whether_its_machine_is_there() -> None:
    """A controller whose clock is an hour behind, started after another one: an intent of an hour ago looks
    young to it. Had its machine come to be, a second one would be launched beside it."""

    def sends(*absent_s: float) -> bool:
        young = launching(Asked.UNSURE, absent_s=absent_s)
        start = view(
            progress=Progress("j1", generation_max=1),
            attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),),
            instances=(young,),
        )
        return bool(actions(decided(start), Launch))

    assert not sends()
    assert not sends(NOW_S - 21)  # begun before this controller started, or before the last answer
    assert sends(NOW_S - 3)


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


def test_a_launch_that_takes_its_time_is_not_a_silent_node() -> None:
    """Nothing was installed there yet, so there is nobody who could be silent (simulation, seed 46)."""
    record_ = record("L1", InstancePhase.LAUNCHING, asked=Asked.UNSURE)
    launching = replace(machine("L1"), record=record_, unheard_s=10_000.0)
    preparing = waiting(1, "L1", phase=AttemptPhase.PREPARING)
    decision = decided(view(attempts=(preparing,), instances=(launching,)))
    assert not events(decision, Kind.ATTEMPT_ABANDONED)
    assert not events(decision, Kind.ATTEMPT_CLOSED)


def test_only_a_node_that_was_listened_to_is_too_slow_to_get_ready() -> None:
    """An hour without a machine, or without a controller, is no reason to give up (simulation, seed 9)."""
    planned = replace(waiting(1, "L1", phase=AttemptPhase.PREPARING), planned_at=NOW_AT - 1e6)

    def goes_on(heard_since_s: float) -> bool:
        node = machine("L1", heard("L1", 1, AgentState.PREPARING, state_s=NOW_S - heard_since_s))
        decision = decided(view(attempts=(planned,), instances=(node,)))
        return not events(decision, Kind.ATTEMPT_ABANDONED)

    assert goes_on(heard_since_s=10.0)  # the machine, or the controller, has only just come
    assert not goes_on(heard_since_s=1e5)
    no_machine = decided(view(attempts=(replace(planned, launches=()),)))
    assert not events(no_machine, Kind.ATTEMPT_ABANDONED)
