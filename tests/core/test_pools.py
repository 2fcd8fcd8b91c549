"""One call that may take any of several pools: which are named, what is kept of it, what a refusal blocks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.build import (
    JOB,
    NOW_AT,
    OFFER,
    actions,
    after,
    decided,
    events,
    machine,
    record,
    seen,
    view,
    waiting,
)
from tests.core.test_launch import answered, launch_done, launching

from outlast_orchestrator.core.actions import Launch
from outlast_orchestrator.core.errors import Capacity, Quota, Scope, ScopeKind
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.ledger import cost_usd
from outlast_orchestrator.core.place import TOGETHER_MAX, TOGETHER_PRICE_MAX, Placed, block_for, place
from outlast_orchestrator.core.types import (
    Asked,
    AttemptPhase,
    Instance,
    InstancePhase,
    Market,
    Offer,
    Progress,
    Want,
)
from outlast_orchestrator.policies.cheapest import cheapest

FIRST = replace(OFFER, together=True)  # 0.3 $/h
SECOND = replace(FIRST, zone="r1-b", price_usd_h=0.31)
THIRD = replace(FIRST, instance_type="cpu-2", price_usd_h=0.35)
BOTH = replace(JOB, want=Want(markets=(Market.SPOT, Market.ON_DEMAND)))


def placed(*offers: Offer, alone: bool = False) -> Placed:
    found = place(BOTH, offers, (), cheapest, NOW_AT, 0.0, alone=alone)
    assert isinstance(found, Placed)
    return found


def test_all_that_are_near_in_price_are_named_in_the_policys_order() -> None:
    found = placed(THIRD, FIRST, SECOND)
    assert (found.offer, found.others) == (FIRST, (SECOND, THIRD))
    assert "or 2 other pools there at up to 0.350 $/h" in found.why


@pytest.mark.parametrize(
    "other",
    [
        replace(SECOND, price_usd_h=0.3 * TOGETHER_PRICE_MAX + 0.01),
        replace(SECOND, region="r2"),
        replace(SECOND, cloud="there"),
        replace(SECOND, market=Market.ON_DEMAND),
        replace(SECOND, together=False),
    ],
)
def test_what_is_dear_elsewhere_or_of_another_kind_is_not(other: Offer) -> None:
    found = placed(FIRST, other)
    assert (found.offer, found.others) == (FIRST, ())
    assert " or " not in found.why


def test_a_machine_that_must_be_where_others_are_names_one() -> None:
    assert placed(FIRST, SECOND, alone=True).others == ()


def test_no_call_names_more_than_can_be_kept() -> None:
    many = [replace(FIRST, zone=f"r1-{number:02d}") for number in range(2 * TOGETHER_MAX)]
    assert len(placed(*many).others) == TOGETHER_MAX - 1


def test_a_blocked_pool_is_not_among_them() -> None:
    dry = Capacity("none", Scope(ScopeKind.POOL, SECOND.pool))
    found = place(JOB, (FIRST, SECOND, THIRD), (block_for(dry, None, NOW_AT),), cheapest, NOW_AT, 0.0)
    assert isinstance(found, Placed)
    assert found.others == (THIRD,)


def launch_of(*offers: Offer) -> Instance:
    (made,) = actions(decided(view(done=answered(1), offers=offers)), Launch)
    instance: Instance = made.instance
    return instance


def test_the_saved_request_names_them_all() -> None:
    made = launch_of(FIRST, SECOND, THIRD)
    assert made.request.offers == (FIRST, SECOND, THIRD)
    assert made.offer == FIRST, "until it is listed"


def test_where_it_is_listed_is_what_it_costs() -> None:
    asked = replace(
        record("m1", InstancePhase.LAUNCHING, id="", started_at=None),
        request=replace(record("m1").request, offer=FIRST, others=(SECOND, THIRD)),
    )
    there = seen("m1", zone="r1-a", instance_type="cpu-2")
    before = view(
        progress=Progress("j1", generation_max=1),
        attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),),
        instances=(machine("m1", record=asked, seen=there),),
    )
    (kept,) = (one.record for one in after(before).instances)
    assert kept.offer == kept.taken == THIRD
    assert kept.request == asked.request, "what was asked for stays what it was"
    hour = replace(kept, started_at=NOW_AT - 3600.0)
    assert cost_usd([hour], NOW_AT) == pytest.approx(THIRD.price_usd_h)


def test_a_refusal_of_all_blocks_each_and_tells_what_a_person_can_mend() -> None:
    error = Quota("the quota is used up", Scope(ScopeKind.FAMILY, "here/r1/*/cpu-2/spot"))
    error.also = (Capacity("none left", Scope(ScopeKind.POOL, FIRST.pool)),)
    before = view(
        progress=Progress("j1", generation_max=1),
        attempts=(waiting(1, "m1", phase=AttemptPhase.PREPARING),),
        instances=(launching(Asked.INTENDED),),
        offers=(FIRST, SECOND, THIRD),
        done=launch_done("m1-1", error),
    )
    decision = decided(before)
    assert {block.scope for block in after(before, decision).blocks} >= {error.scope.key, FIRST.pool}
    assert [one.instance.request.offers for one in actions(decision, Launch)] == [(SECOND,)]
    (told,) = events(decision, Kind.TELL)
    assert "the quota is used up" in told.why
    (refused,) = events(decision, Kind.LAUNCH_REFUSED)
    assert "and 1 more" in refused.why
