"""The contract of `core.ports.Provider`: every cloud, real or simulated, passes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.provider_benches import BENCHES, Bench
from tests.providers.local_kit import record_of

from outlast_orchestrator.core.errors import Capacity, Denied, Invalid, ScopeKind, Throttled, Transient
from outlast_orchestrator.core.types import LaunchRequest, Market, Offer, Want
from outlast_orchestrator.core.view import CloudState, EndProof, Seen

MOMENTS_MAX = 600
DAY_S = 86_400.0


@pytest.fixture(params=sorted(BENCHES))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with BENCHES[request.param](tmp_path) as made:
        yield made


def offer_of(bench: Bench, market: Market = Market.SPOT) -> Offer:
    return bench.provider.offers(Want(markets=(market,)))[0]


def request_for(bench: Bench, offer: Offer, launch: str = "launch-1") -> LaunchRequest:
    return LaunchRequest(
        token=f"{launch}-1",
        launch_id=launch,
        owner=bench.owner,
        job="job-1",
        offer=offer,
        disk_gb=20,
        max_life_s=3600.0,
    )


def listed(bench: Bench, region: str) -> dict[str, Seen]:
    """By launch id."""
    listing = bench.provider.instances(region)
    assert not listing.problem
    return {seen.launch_id: seen for seen in listing.instances}


def until(bench: Bench, what: str, test: Callable[[], bool]) -> None:
    for _ in range(MOMENTS_MAX):
        if test():
            return
        bench.pass_time()
    pytest.fail(f"never happened: {what}")


def launched(bench: Bench, launch: str = "launch-1") -> tuple[LaunchRequest, Seen]:
    request = request_for(bench, offer_of(bench), launch)
    bench.provider.launch(request)
    region = request.offer.region
    until(bench, "it runs", lambda: launch in listed(bench, region))
    until(bench, "it runs", lambda: listed(bench, region)[launch].state is CloudState.RUNNING)
    return request, listed(bench, region)[launch]


def test_offers_are_what_was_wanted(bench: Bench) -> None:
    everything = bench.provider.offers(Want(markets=(Market.SPOT, Market.ON_DEMAND)))
    assert {offer.market for offer in everything} == {Market.SPOT, Market.ON_DEMAND}
    for offer in everything:
        assert offer.cloud == bench.provider.name
        assert offer.region in bench.provider.regions()
        assert 0 < offer.price_usd_h <= offer.on_demand_usd_h
    price = min(offer.price_usd_h for offer in everything)
    cheap = bench.provider.offers(Want(price_max_usd_h=price))
    assert cheap
    assert all(offer.price_usd_h <= price for offer in cheap)
    assert bench.provider.offers(Want(clouds=("another-cloud",))) == []
    assert bench.provider.offers(Want(regions=("nowhere",))) == []
    assert bench.provider.offers(Want(gpus=("UNHEARD-OF:64",))) == []


def test_a_launch_is_listed_with_all_that_it_was_tagged_with(bench: Bench) -> None:
    request, seen = launched(bench)
    assert seen.id
    assert (seen.launch_id, seen.token, seen.job, seen.owner) == (
        "launch-1",
        "launch-1-1",
        "job-1",
        bench.owner,
    )
    assert (seen.cloud, seen.region, seen.zone) == (
        bench.provider.name,
        request.offer.region,
        request.offer.zone,
    )
    assert (seen.instance_type, seen.market) == (request.offer.instance_type, Market.SPOT)
    assert seen.price_usd_h > 0
    assert seen.started_at is not None
    assert not seen.interrupting


def test_the_same_token_is_the_same_instance(bench: Bench) -> None:
    request, seen = launched(bench)
    bench.provider.launch(request)
    bench.provider.launch(request)
    assert [one.id for one in listed(bench, request.offer.region).values()] == [seen.id]
    assert len(bench.provider.instances(request.offer.region).instances) == 1


def test_a_token_with_other_parameters_is_refused(bench: Bench) -> None:
    request, _ = launched(bench)
    with pytest.raises(Invalid) as refusal:
        bench.provider.launch(replace(request, disk_gb=request.disk_gb + 1))
    assert refusal.value.scope.kind is ScopeKind.REQUEST
    assert refusal.value.retry_after_s is None
    assert len(bench.provider.instances(request.offer.region).instances) == 1


def test_a_launch_whose_reply_was_lost_is_one_instance_after_the_repeat(bench: Bench) -> None:
    request = request_for(bench, offer_of(bench))
    bench.lose_next_reply()
    with pytest.raises(Transient):
        bench.provider.launch(request)
    bench.provider.launch(request)
    region = request.offer.region
    until(bench, "it is listed", lambda: "launch-1" in listed(bench, region))
    assert len(bench.provider.instances(region).instances) == 1


def test_a_listing_is_complete(bench: Bench) -> None:
    request, _ = launched(bench, "launch-0")
    for number in range(1, 4):
        bench.provider.launch(request_for(bench, request.offer, f"launch-{number}"))
    wanted = {f"launch-{number}" for number in range(4)}
    until(bench, "all are listed", lambda: set(listed(bench, request.offer.region)) == wanted)


def test_terminate_ends_and_may_be_repeated(bench: Bench) -> None:
    request, seen = launched(bench)
    record = record_of(request, seen.id)
    bench.provider.terminate(record)
    bench.provider.terminate(record)

    def ended() -> bool:
        return listed(bench, request.offer.region)["launch-1"].state is CloudState.ENDED

    until(bench, "it ends", ended)
    bench.provider.terminate(record)
    last = listed(bench, request.offer.region)["launch-1"]
    assert last.end is EndProof.OURS_OR_PERSON
    assert last.end_text
    assert last.ended_at is not None


def test_to_terminate_what_does_not_exist_is_success(bench: Bench) -> None:
    request = request_for(bench, offer_of(bench))
    bench.provider.terminate(record_of(request, "i-0000000000000000"))
    bench.provider.terminate(record_of(request))
    assert listed(bench, request.offer.region) == {}


def test_a_launch_without_a_known_id_can_be_terminated(bench: Bench) -> None:
    request, _ = launched(bench)
    bench.provider.terminate(record_of(request))
    region = request.offer.region
    until(bench, "it ends", lambda: listed(bench, region)["launch-1"].state is CloudState.ENDED)


def test_an_ended_instance_stays_listed_with_its_proof_and_then_vanishes(bench: Bench) -> None:
    request, seen = launched(bench)
    region = request.offer.region
    bench.take(seen.id)
    until(bench, "it ends", lambda: listed(bench, region)["launch-1"].state is CloudState.ENDED)
    assert listed(bench, region)["launch-1"].end is EndProof.INTERRUPTED
    bench.forget_ended()
    until(bench, "it vanishes", lambda: "launch-1" not in listed(bench, region))
    bench.provider.terminate(record_of(request, seen.id))


def test_a_region_that_fails_is_unknown_and_not_empty(bench: Bench) -> None:
    request, _ = launched(bench)
    region = request.offer.region
    bench.break_region(region)
    listing = bench.provider.instances(region)
    assert listing.problem
    assert (listing.cloud, listing.region) == (bench.provider.name, region)
    bench.mend()
    assert "launch-1" in listed(bench, region)


def test_no_capacity_blocks_that_pool_only(bench: Bench) -> None:
    offers = bench.provider.offers(Want())
    bench.dry(offers[0])
    with pytest.raises(Capacity) as refusal:
        bench.provider.launch(request_for(bench, offers[0], "launch-1"))
    assert refusal.value.scope.kind is ScopeKind.POOL
    assert refusal.value.scope.key == offers[0].pool
    assert refusal.value.retry_after_s
    other = next(offer for offer in offers if not offer.pool.startswith(refusal.value.scope.key))
    bench.provider.launch(request_for(bench, other, "launch-2"))


def test_throttling_blocks_the_call_and_no_pool(bench: Bench) -> None:
    offers = bench.provider.offers(Want())
    bench.throttle()
    with pytest.raises(Throttled) as refusal:
        bench.provider.launch(request_for(bench, offers[0]))
    assert refusal.value.scope.kind is ScopeKind.CALL
    assert not any(offer.pool.startswith(refusal.value.scope.key) for offer in offers)
    assert bench.provider.instances(offers[0].region).problem


def test_lost_rights_block_the_account_until_a_person_acts(bench: Bench) -> None:
    offer = offer_of(bench)
    bench.deny()
    with pytest.raises(Denied) as refusal:
        bench.provider.launch(request_for(bench, offer))
    assert refusal.value.scope.kind is ScopeKind.ACCOUNT
    assert offer.pool.startswith(refusal.value.scope.key)
    assert refusal.value.retry_after_s is None


def test_a_machine_type_that_does_not_exist_is_not_tried_again_today(bench: Bench) -> None:
    """For some clouds it may only be missing in that zone, and come one day."""
    offer = replace(offer_of(bench), instance_type="unheard-of")
    with pytest.raises((Invalid, Capacity)) as refusal:
        bench.provider.launch(request_for(bench, offer))
    assert refusal.value.retry_after_s is None or refusal.value.retry_after_s >= DAY_S
    assert "unheard-of" in str(refusal.value)


def test_a_healthy_cloud_has_no_problems(bench: Bench) -> None:
    assert bench.provider.check() == []
