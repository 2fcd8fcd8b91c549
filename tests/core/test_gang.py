"""Gangs before the claim: one machine for each rank, near each other, and a claim when all are ready."""

from __future__ import annotations

from dataclasses import replace

from tests.core.build import (
    NOW_AT,
    NOW_S,
    OFFER,
    REF,
    actions,
    after,
    attempt,
    decided,
    events,
    lost,
    machine,
    pointer,
    record,
    told,
    view,
    waiting,
)
from tests.core.gangs import (
    BESIDE,
    FAR,
    PAIR,
    TRIO,
    kinds,
    node,
    open_attempt,
    planned,
    preparing,
    said,
    since,
    training,
)

from outlast.protocol.messages import AgentState, CommandKind, Failure, Notice
from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.actions import Launch
from outlast_orchestrator.core.errors import Capacity, Scope, ScopeKind
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.types import (
    InstancePhase,
    JobState,
    Progress,
)
from outlast_orchestrator.core.view import Call, CallDone, CallKind

# machines


def test_a_gang_asks_for_all_its_machines_at_once() -> None:
    decision = decided(planned(TRIO))
    launched = [launch.instance.launch_id for launch in actions(decision, Launch)]
    assert len(set(launched)) == 3
    assert after(planned(TRIO), decision).attempts[0].launches == tuple(launched)


def test_all_are_in_one_region_and_in_one_zone_if_that_goes() -> None:
    cheaper_elsewhere = replace(FAR, price_usd_h=0.1)
    decision = decided(planned(PAIR, offers=(OFFER, cheaper_elsewhere)))
    assert {launch.instance.request.offer.region for launch in actions(decision, Launch)} == {"r2"}
    half = preparing(machine("m0", record=record("m0", InstancePhase.BOOTING)), slots=("m0", ""))
    one = actions(decided(replace(half, offers=(BESIDE, cheaper_elsewhere, OFFER))), Launch)
    assert [launch.instance.request.offer.zone for launch in one] == [OFFER.zone]


def test_the_cloud_is_not_left_to_choose_between_pools() -> None:
    """It would choose for each machine alone, and they would be far from each other, or of two kinds."""
    offers = tuple(replace(OFFER, zone=zone, together=True) for zone in ("r1-a", "r1-b"))
    asked = [launch.instance.request for launch in actions(decided(planned(PAIR, offers=offers)), Launch)]
    assert [request.others for request in asked] == [(), ()]


def test_a_refusal_empties_one_rank_only() -> None:
    error = Capacity("none left", Scope(ScopeKind.POOL, OFFER.pool))
    asked = machine("m1", record=record("m1", InstancePhase.LAUNCHING), seen=None)
    half = preparing(
        node("m0", 0, AgentState.PREPARING),
        asked,
        offers=(OFFER,),
        done=(CallDone(Call(CallKind.LAUNCH, "m1-1"), error),),
    )
    assert open_attempt(half).launches == ("m0", "")


def test_a_machine_that_was_never_there_leaves_its_rank_to_another() -> None:
    gone = machine(
        "m1",
        record=record("m1", InstancePhase.LAUNCHING, id=""),
        seen=None,
        asked_s=NOW_S - 400,
        absent_s=(NOW_S - 30, NOW_S - 20, NOW_S - 10),
    )
    found = preparing(node("m0", 0, AgentState.PREPARING), gone)
    launches = open_attempt(found).launches
    assert launches[0] == "m0"
    assert launches[1] not in ("", "m1")


def test_half_a_gang_is_given_up_in_time_and_tried_elsewhere() -> None:
    alone = since(node("m0", 0, AgentState.PREPARING), 901.0)
    late = preparing(alone, slots=("m0", ""), offers=(OFFER, FAR))
    late = replace(late, attempts=(replace(late.attempts[0], planned_at=NOW_AT - 1000),))
    decision = decided(late)
    assert "only 1 of 2 machines" in events(decision, Kind.ATTEMPT_ABANDONED)[0].why
    next_one = after(late, decision)
    assert next_one.blocks[0].scope == "gang/j1/here/r1"
    fresh = replace(
        next_one,
        attempts=(waiting(2),),
        instances=(replace(alone, heard=said("m0", 0, 1, AgentState.ABANDONED)),),
        progress=Progress("j1", generation_max=2, handled_number=0),
    )
    decision = decided(fresh)
    assert {launch.instance.request.offer.region for launch in actions(decision, Launch)} == {"r2"}
    ended = [r for r in after(fresh, decision).instances if r.record.launch_id == "m0"]
    assert ended[0].record.phase is InstancePhase.TERMINATING


def test_in_time_half_a_gang_may_wait() -> None:
    alone = since(node("m0", 0, AgentState.PREPARING), 800.0)
    assert not events(decided(preparing(alone, slots=("m0", ""))), Kind.ATTEMPT_ABANDONED)


def test_who_is_left_of_the_last_attempt_is_used_again_and_only_the_rest_is_launched() -> None:
    survivors = [node(f"m{n}", n, AgentState.RELEASED) for n in range(2)]
    found = view(
        job=TRIO,
        progress=Progress("j1", generation_max=2, durable=REF, handled_number=0),
        attempts=(waiting(2),),
        instances=tuple(survivors),
        pointer_=pointer(1, PointerState.RELEASED),
    )
    decision = decided(found)
    launches = after(found, decision).attempts[-1].launches
    assert launches[:2] == ("m0", "m1")
    assert len(actions(decision, Launch)) == 1


def test_who_will_be_free_in_a_moment_is_waited_for() -> None:
    noticed = node("m0", 0, AgentState.DRAINING, notice=Notice("terminate", 100.0))
    other = node("m1", 1, AgentState.DRAINING)
    claimed = replace(attempt(1, "m0", "m1"), noticed=True, draining_since=NOW_AT - 5)
    found = training(noticed, other, attempts=(claimed, waiting(2)))
    assert len(actions(decided(found), Launch)) == 1


def test_where_the_last_attempts_machines_are_nothing_more_can_be_had_and_it_goes_elsewhere() -> None:
    """The price that takes a machine away may be above what the job pays."""
    noticed = node("m0", 0, AgentState.DRAINING, notice=Notice("terminate", 100.0))
    claimed = replace(attempt(1, "m0", "m1"), noticed=True, draining_since=NOW_AT - 5)
    dear = replace(OFFER, price_usd_h=9.0)
    limited = replace(PAIR, want=replace(PAIR.want, price_max_usd_h=1.0))
    found = training(
        noticed,
        node("m1", 1, AgentState.DRAINING),
        job=limited,
        attempts=(claimed, waiting(2)),
        offers=(dear, FAR),
    )
    first = decided(found)
    assert not actions(first, Launch)
    assert after(found, first).progress.state is not JobState.FAILED
    launched = actions(decided(after(found, first)), Launch)
    assert [launch.instance.request.offer.region for launch in launched] == ["r2", "r2"]
    nowhere = replace(found, offers=(dear,), instances=(noticed,))
    assert after(nowhere).progress.state is JobState.FAILED


# getting ready


def test_only_the_first_node_may_claim_and_only_when_all_wait() -> None:
    first, second = node("m0", 0, AgentState.WAITING), node("m1", 1, AgentState.PREPARING)
    assert CommandKind.RUN not in kinds(preparing(first, second), "m0")
    ready = preparing(first, node("m1", 1, AgentState.WAITING))
    assert CommandKind.RUN in kinds(ready, "m0")
    assert CommandKind.RUN not in kinds(ready, "m1")
    assign = (told(decided(ready), "m1") or ())[0]
    assert (assign.rank, assign.world_size) == (1, 2)
    assert [peer.address for peer in assign.peers] == ["10.0.0.0", "10.0.0.1"]


def test_who_is_silent_or_noticed_is_not_ready() -> None:
    first = node("m0", 0, AgentState.WAITING)
    silent = node("m1", 1, AgentState.WAITING, silent_s=30.0)
    assert CommandKind.RUN not in kinds(preparing(first, silent), "m0")
    noticed = node("m1", 1, AgentState.WAITING, notice=Notice("terminate", 100.0))
    assert CommandKind.RUN not in kinds(preparing(first, noticed), "m0")


def test_a_node_that_is_lost_before_the_claim_ends_the_attempt() -> None:
    found = preparing(node("m0", 0, AgentState.WAITING), lost("m1", 1))
    decision = decided(found)
    assert "node 1 lost its machine" in events(decision, Kind.ATTEMPT_ABANDONED)[0].why
    assert kinds(found, "m0") == [CommandKind.ABANDON]


def test_a_failure_before_the_claim_counts_once_and_after_all_have_heard_of_it() -> None:
    failed = node("m1", 1, AgentState.FAILED, failure=Failure("setup", "pip: no such package"))
    first = preparing(node("m0", 0, AgentState.WAITING), failed)
    assert events(decided(first), Kind.ATTEMPT_ABANDONED)
    assert not events(decided(first), Kind.ATTEMPT_FAILED)
    told_ = replace(after(first), instances=(node("m0", 0, AgentState.ABANDONED), failed))
    decision = decided(told_)
    assert len(events(decision, Kind.ATTEMPT_FAILED)) == 1
    assert after(told_, decision).progress.failures == 1
