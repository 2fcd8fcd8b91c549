"""The default policy: market by market, cheapest first, and the same order on every machine."""

from __future__ import annotations

import random
from dataclasses import replace

from outlast.protocol.messages import Work
from outlast_orchestrator.core.types import Job, Market, Offer, RetryPlan, Want
from outlast_orchestrator.policies import POLICIES
from outlast_orchestrator.policies.cheapest import cheapest

SPOT, ON_DEMAND = Market.SPOT, Market.ON_DEMAND


def _job(want: Want) -> Job:
    work = Work(name="n", owner="o", revision=1, run="true")
    return Job("j", "n", "o", 0.0, 1, want, work, RetryPlan(), "storage")


def _offer(zone: str, price: float, market: Market = SPOT) -> Offer:
    return Offer("local", "here", zone, "cpu-1", market, price, 1.0)


OFFERS = [_offer("c", 0.3), _offer("a", 0.2), _offer("b", 0.2), _offer("a", 0.1, ON_DEMAND), _offer("d", 0.9)]


def test_spot_only_by_price_and_equal_prices_by_name() -> None:
    ordered = cheapest(_job(Want()), OFFERS, 0.0)
    assert [(offer.zone, offer.market) for offer in ordered] == [(z, SPOT) for z in "abcd"]


def test_on_demand_comes_after_spot_even_when_it_is_cheaper() -> None:
    ordered = cheapest(_job(Want(markets=(SPOT, ON_DEMAND))), OFFERS, 0.0)
    assert [offer.market for offer in ordered] == [SPOT] * 4 + [ON_DEMAND]
    assert cheapest(_job(Want(markets=(ON_DEMAND,))), OFFERS, 0.0) == [OFFERS[3]]


def test_what_costs_more_than_the_limit_is_left_out() -> None:
    ordered = cheapest(_job(Want(price_max_usd_h=0.2)), OFFERS, 0.0)
    assert [offer.zone for offer in ordered] == ["a", "b"]
    assert cheapest(_job(Want(price_max_usd_h=0.01)), OFFERS, 0.0) == []


def test_the_order_of_the_question_does_not_matter() -> None:
    job = _job(Want(markets=(SPOT, ON_DEMAND)))
    offers = [replace(o, region=r, instance_type=t) for o in OFFERS for r in ("x", "y") for t in ("1", "2")]
    expected = cheapest(job, offers, 0.0)
    dice = random.Random(1)
    for _ in range(20):
        dice.shuffle(offers)
        assert cheapest(job, offers, 0.0) == expected


def test_the_job_file_s_policies_are_all_there() -> None:
    assert POLICIES["cheapest"] is cheapest
