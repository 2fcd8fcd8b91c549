"""What the local cloud refuses, shows and hides, as its provider sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.providers.local_kit import ended, launched, local_cloud, provider_of, request_of

from outlast_orchestrator.core.errors import Capacity, Quota, ScopeKind
from outlast_orchestrator.core.types import Market, Want
from outlast_orchestrator.providers.local.config import InstanceType
from outlast_orchestrator.providers.local.control import CloudControl


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[CloudControl]:
    with local_cloud(tmp_path) as control:
        yield control


def test_a_pool_is_full_when_its_machines_are_out(cloud: CloudControl) -> None:
    cloud.configure(types=(InstanceType("cpu-1", 0.1, capacity=2),))
    provider = provider_of(cloud)
    offer = provider.offers(Want())[0]
    provider.launch(request_of(offer, "launch-1", count=3, min_count=2))
    assert len(provider.instances("here").instances) == 2
    with pytest.raises(Capacity):
        provider.launch(request_of(offer, "launch-2"))
    on_demand = provider.offers(Want(markets=(Market.ON_DEMAND,)))[0]
    provider.launch(request_of(on_demand, "launch-3"))


def test_declared_gpus_are_offered_by_name_and_count(cloud: CloudControl) -> None:
    types = (InstanceType("cpu-1", 0.1), InstanceType("gpu-4", 2.0, gpu="T4", gpu_count=4))
    cloud.configure(types=types)
    provider = provider_of(cloud)
    assert {offer.instance_type for offer in provider.offers(Want(gpus=("H100:8", "T4:4")))} == {"gpu-4"}
    assert provider.offers(Want(gpus=("T4",))) == []
    assert provider.offers(Want(gpus=("T4:4:4",))) == []


def test_a_quota_blocks_the_region(cloud: CloudControl) -> None:
    provider = provider_of(cloud)
    cloud.refuse(None, code="MaxSpotInstanceCountExceeded")
    offer = provider.offers(Want())[0]
    with pytest.raises(Quota) as refusal:
        provider.launch(request_of(offer))
    assert refusal.value.scope.kind is ScopeKind.FAMILY
    assert offer.pool.startswith(refusal.value.scope.key + "/")
    assert refusal.value.tell


def test_a_fresh_instance_is_missing_from_lagging_listings(cloud: CloudControl) -> None:
    instance = launched(cloud)
    cloud.lag_listing(3600.0)
    listing = provider_of(cloud).instances("here")
    assert (listing.problem, listing.instances) == ("", ())
    cloud.clear()
    assert [seen.id for seen in provider_of(cloud).instances("here").instances] == [instance]


def test_another_owner_sees_nothing_of_ours(cloud: CloudControl) -> None:
    launched(cloud)
    assert cloud.instances(owner="somebody-else") == []
    assert len(cloud.instances()) == 1


def test_a_used_up_token_is_a_new_launch(cloud: CloudControl) -> None:
    provider = provider_of(cloud)
    request = request_of(provider.offers(Want())[0])
    provider.launch(request)
    cloud.configure(token_life_s=0.0)
    provider.launch(request)
    assert len(provider.instances("here").instances) == 2


def test_a_script_runs_its_steps_in_time(cloud: CloudControl) -> None:
    first, second = launched(cloud, "launch-1"), launched(cloud, "launch-2")
    cloud.script(
        [
            {"at_s": 0.4, "do": "crash", "instance": "newest"},
            {"at_s": 0.2, "do": "refuse", "for_s": 60.0, "zone": "here-b"},
            {"at_s": 0.3, "do": "interrupt", "instance": "nobody"},  # refused, and the script goes on
            {"at_s": 0.3, "do": "rebalance", "wrong": True},
        ]
    )
    assert ended(cloud, second)["end_code"] == "Server.HostFailure"
    assert cloud.instance(first)["state"] == "running"
    provider = provider_of(cloud)
    offer = next(offer for offer in provider.offers(Want()) if offer.zone == "here-b")
    with pytest.raises(Capacity):
        provider.launch(request_of(offer, "launch-3"))


def test_the_control_api_wants_its_token(cloud: CloudControl) -> None:
    contact = cloud.state_dir / "cloud.json"
    assert contact.stat().st_mode & 0o077 == 0
    text = contact.read_text()
    contact.write_text(text.replace('"token": "', '"token": "x'))
    listing = provider_of(cloud).instances("here")
    contact.write_text(text)
    assert "wrong token" in listing.problem
