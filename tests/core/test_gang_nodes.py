"""What each node of a gang is to the others: who is missed, who is waited for, and whose word counts."""

from __future__ import annotations

from dataclasses import replace

from tests.core.build import (
    NOW_AT,
    NOW_S,
    REF,
    actions,
    after,
    attempt,
    decided,
    events,
    lost,
    pointer,
    record,
    told,
    view,
    waiting,
)
from tests.core.gangs import (
    FAR,
    PAIR,
    TRIO,
    kinds,
    node,
    open_attempt,
    preparing,
    replace_ref,
    since,
    training,
)

from outlast.protocol.messages import AgentState, CommandKind, Failure, Notice
from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.actions import Launch
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.types import AttemptPhase, Closing, InstancePhase, JobState, Progress, Wanted
from outlast_orchestrator.core.view import EndProof, InstanceView

RUNS = node("m0", 0, AgentState.RUNNING)
CRASH = Failure("trainer", "the trainer failed, code 1", exit_code=1)


def ended(*nodes: InstanceView) -> list[str]:
    """Which failures are counted when the first one's trainer has ended with 1."""
    found = training(*nodes, pointer_=pointer(1, PointerState.ENDED, exit_code=1))
    return [event.why for event in events(decided(found), Kind.ATTEMPT_FAILED)]


# while it trains


def test_who_has_left_or_knows_nothing_any_more_breaks_the_gang() -> None:
    failed = node("m1", 1, AgentState.FAILED, failure=CRASH)
    fresh = node("m1", 1, AgentState.IDLE, generation=0)
    for other, why in ((failed, "node 1 has left: the trainer failed"), (fresh, "knows nothing")):
        decision = decided(training(RUNS, other))
        assert why in events(decision, Kind.ATTEMPT_DRAINING)[0].why
    silent = node("m1", 1, AgentState.IDLE, generation=0, silent_s=30.0)
    assert not events(decided(training(RUNS, silent)), Kind.ATTEMPT_DRAINING)


def test_a_loss_after_the_release_or_while_all_leave_changes_nothing() -> None:
    gone, stays = lost("m1", 1), node("m2", 2, AgentState.RUNNING)
    released = training(
        node("m0", 0, AgentState.RELEASED), gone, stays, pointer_=pointer(1, PointerState.RELEASED), job=TRIO
    )
    assert after(released).attempts[0].open
    assert not events(decided(released), Kind.ATTEMPT_DRAINING)
    leaves = replace(attempt(1, "m0", "m1"), noticed=True, draining_since=NOW_AT - 20)
    noticed = node("m0", 0, AgentState.DRAINING, notice=Notice("terminate", 90.0))
    found = training(noticed, lost("m1", 1), attempts=(leaves,))
    decision = decided(found)
    assert not events(decision, Kind.ATTEMPT_DRAINING)
    assert not after(found, decision).attempts[0].drain_now, "the last save is still wanted"


def test_a_withdrawn_notice_calls_nobody_back_who_was_told_to_leave() -> None:
    leaves = replace(attempt(1, "m0", "m1"), noticed=True, draining_since=NOW_AT - 20)
    found = training(RUNS, node("m1", 1, AgentState.RUNNING), attempts=(leaves,))
    assert not events(decided(found), Kind.NOTICE_WITHDRAWN)
    assert kinds(found, "m0") == [CommandKind.DRAIN]


def test_the_time_to_leave_does_not_grow_while_it_passes() -> None:
    limits = set()
    for passed_s in (0.0, 20.0):
        leaves = replace(attempt(1, "m0", "m1"), noticed=True, draining_since=NOW_AT - passed_s)
        noticed = node("m1", 1, AgentState.DRAINING, notice=Notice("terminate", 90.0 - passed_s))
        command = (told(decided(training(RUNS, noticed, attempts=(leaves,))), "m0") or ())[0]
        limits.add(command.limit_s)
    assert limits == {70.0}


def test_a_machine_of_the_gang_that_a_person_ends_stops_the_job() -> None:
    killed = training(RUNS, lost("m1", 1, EndProof.OURS_OR_PERSON))
    assert after(killed).progress.state is JobState.FAILED
    assert after(training(RUNS, lost("m1", 1))).progress.state is not JobState.FAILED


def test_who_is_overdue_with_a_persons_wish_is_ended_although_it_may_be_cut_off() -> None:
    late = replace(attempt(1, "m0", "m1"), draining_since=NOW_AT - 1000)
    silent = node("m0", 0, AgentState.RUNNING, silent_s=300.0)
    other = node("m1", 1, AgentState.RUNNING)
    for wanted, ends in ((Wanted.PAUSED, True), (Wanted.RUN, False)):
        given_up = replace(late, abandoned=wanted is Wanted.RUN)
        found = training(silent, other, attempts=(given_up,), job=replace(PAIR, wanted=wanted))
        phase = after(found).instances[0].record.phase
        assert (phase is InstancePhase.TERMINATING) is ends


def test_of_failures_alike_the_lowest_ranks_is_told_and_a_fatal_one_before_all() -> None:
    other = replace(CRASH, message="another")
    first = node("m0", 0, AgentState.ENDED, failure=CRASH)
    assert ended(first, node("m1", 1, AgentState.FAILED, failure=other)) == [CRASH.message]
    fatal = replace(other, fatal=True)
    named = node("m0", 0, AgentState.ENDED, failure=replace(CRASH, exit_code=137))
    assert ended(named, node("m1", 1, AgentState.FAILED, failure=fatal)) == ["another"]


def test_machines_that_are_known_stay_known_when_the_pointer_names_more() -> None:
    refs = tuple(replace_ref(launch) for launch in ("m0", "m1", "m2"))
    there = (RUNS, node("m2", 2, AgentState.RUNNING))
    found = training(
        *there,
        job=TRIO,
        attempts=(attempt(1, "m0", "m1", ""),),
        pointer_=replace(pointer(1), instances=refs),
    )
    assert after(found).attempts[0].launches == ("m0", "m1", "m2")


# before the claim


def test_it_waits_only_when_all_its_nodes_do() -> None:
    for state, phase in (
        (AgentState.PREPARING, AttemptPhase.PREPARING),
        (AgentState.WAITING, AttemptPhase.WAITING),
    ):
        found = preparing(node("m0", 0, AgentState.WAITING), node("m1", 1, state))
        assert open_attempt(found).phase is phase


def test_a_machine_that_is_being_ended_is_not_ready() -> None:
    ends = node("m1", 1, AgentState.WAITING)
    ends = replace(ends, record=record("m1", InstancePhase.TERMINATING, installed=True))
    assert CommandKind.RUN not in kinds(preparing(node("m0", 0, AgentState.WAITING), ends), "m0")


def test_who_has_left_before_the_claim_ends_the_attempt() -> None:
    found = preparing(node("m0", 0, AgentState.WAITING), node("m1", 1, AgentState.ABANDONED))
    assert "node 1 has left" in events(decided(found), Kind.ATTEMPT_ABANDONED)[0].why


def given_up(first: InstanceView, second: InstanceView) -> bool:
    """Whether an attempt that was given up is closed."""
    waits = waiting(1, "m0", "m1", abandoned=True, abandoned_why="not wanted")
    return not after(preparing(first, second, attempts=(waits,))).attempts[0].open


def test_an_attempt_is_closed_when_nobody_can_claim_and_all_who_are_heard_have_heard() -> None:
    first, second = node("m0", 0, AgentState.ABANDONED), node("m1", 1, AgentState.ABANDONED)
    assert given_up(first, second)
    assert not given_up(first, node("m1", 1, AgentState.WAITING))
    assert given_up(first, node("m1", 1, AgentState.WAITING, silent_s=30.0)), "it never claims"
    assert not given_up(node("m0", 0, AgentState.WAITING, silent_s=30.0), second), "its claim may come"
    assert given_up(lost("m0", 1), node("m1", 1, AgentState.WAITING)), "nobody else claims"


# machines of the last attempt


def test_a_machine_that_serves_again_counts_from_the_plan_and_not_from_its_start() -> None:
    old = since(node("m0", 0, AgentState.PREPARING), 5000.0)
    waits = replace(waiting(1, "m0", ""), planned_at=NOW_AT - 100)
    found = preparing(old, attempts=(waits,))
    assert not events(decided(found), Kind.ATTEMPT_ABANDONED)


def survivors(closed_s: float, *nodes: InstanceView, slots: tuple[str, ...] = ()) -> tuple[int, list[str]]:
    """How many machines are launched, and which ones are ended, so long after the last attempt's end."""
    last = attempt(1, "m0", "m1", phase=AttemptPhase.CLOSED, closing=Closing("", at=NOW_AT - closed_s))
    found = view(
        job=PAIR,
        progress=Progress("j1", generation_max=2, durable=REF, handled_number=0),
        attempts=(last, replace(waiting(2, *slots), planned_at=NOW_AT - closed_s)),
        instances=nodes,
        pointer_=pointer(1, PointerState.RELEASED),
    )
    decision = decided(found)
    records = [m.record for m in after(found, decision).instances]
    ends = [r.launch_id for r in records if r.phase is InstancePhase.TERMINATING]
    return len(actions(decision, Launch)), ends


def test_a_last_word_is_waited_for_a_minute_and_who_is_not_needed_is_ended() -> None:
    stays = (RUNS, node("m1", 1, AgentState.RUNNING))
    assert survivors(50.0, *stays) == (0, [])
    assert survivors(70.0, *stays) == (2, ["m0", "m1"])
    full = (node("m2", 0, AgentState.PREPARING, 2), node("m3", 1, AgentState.PREPARING, 2))
    assert survivors(5.0, *full, *stays, slots=("m2", "m3")) == (0, ["m0", "m1"])


def test_where_nothing_is_offered_any_more_the_last_machines_hold_nobody() -> None:
    found = view(
        job=TRIO,
        progress=Progress("j1", generation_max=2, durable=REF, handled_number=0),
        attempts=(waiting(2),),
        instances=(node("m0", 0, AgentState.RELEASED),),
        pointer_=pointer(1, PointerState.RELEASED),
        offers=(FAR,),
    )
    regions = [launch.instance.request.offer.region for launch in actions(decided(found), Launch)]
    assert regions == ["r2"] * 3


def test_the_other_nodes_are_told_where_a_machine_is_reached_now() -> None:
    moved = node("m1", 1, AgentState.PREPARING)
    first = node("m0", 0, AgentState.PREPARING)
    kept = after(preparing(first, moved)).instances[1]
    assert kept.record.address == "10.0.0.1"
    hidden = replace(kept, seen=None, seen_s=NOW_S - 60)
    assign = (told(decided(preparing(first, hidden)), "m0") or ())[0]
    assert assign.peers[1].address == "10.0.0.1"
