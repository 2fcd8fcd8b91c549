"""Compute Engine by its real SDK over a socket, beyond the contract: what is sent, how an end is proved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.providers.local_kit import record_of
from tests.servers.compute import Compute, compute

from outlast_orchestrator.core.errors import Capacity, Invalid, Quota
from outlast_orchestrator.core.types import LaunchRequest, Market, Offer, Want
from outlast_orchestrator.core.view import CloudState, EndProof, Seen
from outlast_orchestrator.providers.gcp.provider import GcpProvider

H100 = Want(gpus=("H100:8",))
HERE, THERE = "here-1", "there-1"


@pytest.fixture
def server() -> Iterator[Compute]:
    with compute() as found:
        yield found


@pytest.fixture
def provider(server: Compute) -> GcpProvider:
    return server.provider()


def request(server: Compute, offer: Offer, launch: str = "launch-1") -> LaunchRequest:
    token = f"{launch}-1"
    return LaunchRequest(token, launch, server.owner, "job-1", offer, 120, 3600.0, user_data="#!/bin/sh\n")


def only(provider: GcpProvider, region: str = HERE) -> Seen:
    (seen,) = provider.instances(region).instances
    return seen


def test_what_a_spot_machine_is_made_of(server: Compute, provider: GcpProvider) -> None:
    provider.launch(request(server, provider.offers(H100)[0]))
    (one,) = server.instances.values()
    assert one["scheduling"] == {
        "provisioningModel": "SPOT",
        "instanceTerminationAction": "DELETE",
        "onHostMaintenance": "TERMINATE",
        "automaticRestart": False,
        "preemptionNoticeDuration": {"seconds": "120"},
        "maxRunDuration": {"seconds": "3600"},
    }
    items = {item["key"]: item["value"] for item in one["metadata"]["items"]}
    assert items == {"outlast-notice-s": "120", "startup-script": "#!/bin/sh\n"}
    (disk,) = one["disks"]
    assert (disk["autoDelete"], disk["initializeParams"]["diskSizeGb"]) == (True, "120")
    assert disk["initializeParams"]["labels"]["outlast-owner"] == server.owner
    assert one["name"].startswith(f"outlast-{server.owner}-launch-1")


def test_a_machine_on_demand_asks_for_no_notice(server: Compute, provider: GcpProvider) -> None:
    (offer, *_) = provider.offers(replace(H100, markets=(Market.ON_DEMAND,)))
    provider.launch(request(server, offer))
    (one,) = server.instances.values()
    assert one["scheduling"]["provisioningModel"] == "STANDARD"
    assert "preemptionNoticeDuration" not in one["scheduling"]
    assert only(provider).market is Market.ON_DEMAND


def test_a_gpu_that_is_no_part_of_the_type_is_asked_for(server: Compute) -> None:
    kinds = ("n1-standard-8+nvidia-tesla-t4",)
    provider = GcpProvider(
        replace(server.config(), instance_types=kinds), server.clock, server.owner, server.credentials
    )
    (offer, *_) = provider.offers(Want(gpus=("T4:1",)))
    provider.launch(request(server, offer))
    (one,) = server.instances.values()
    (accelerator,) = one["guestAccelerators"]
    assert accelerator["acceleratorType"].endswith("/nvidia-tesla-t4")
    assert only(provider).instance_type == offer.instance_type


def test_a_project_without_the_longer_notice_gets_its_machine(server: Compute, provider: GcpProvider) -> None:
    server.trouble.no_wish_for_notice = True
    wanted = request(server, provider.offers(H100)[0])
    provider.launch(wanted)
    server.provider().launch(wanted)  # another controller, which does not know that yet
    (one,) = server.instances.values()
    assert "preemptionNoticeDuration" not in one["scheduling"]
    assert "outlast-notice-s" not in {item["key"] for item in one["metadata"]["items"]}


def test_an_operation_is_waited_for(server: Compute, provider: GcpProvider) -> None:
    server.trouble.slow_operations = 2
    (offer, *_) = provider.offers(H100)
    server.trouble.dry[offer.zone, offer.instance_type, "spot"] = (
        "QUOTA_EXCEEDED",
        "Quota 'PREEMPTIBLE_NVIDIA_H100_GPUS' exceeded.",
    )
    with pytest.raises(Quota, match="PREEMPTIBLE_NVIDIA_H100_GPUS"):
        provider.launch(request(server, offer))
    assert sum(path.endswith("/wait") for _, path in server.calls) == 3


def test_a_name_that_is_taken_may_show_in_the_operation_too(server: Compute, provider: GcpProvider) -> None:
    wanted = request(server, provider.offers(H100)[0])
    provider.launch(wanted)
    server.say_of_taken_names = "in the operation"
    server.forget_requests()
    server.provider().launch(wanted)
    with pytest.raises(Invalid, match="other parameters"):
        provider.launch(replace(wanted, disk_gb=121))
    assert len(server.instances) == 1


def test_one_look_is_for_all_regions_and_the_next_is_a_new_one(
    server: Compute, provider: GcpProvider
) -> None:
    first, second = provider.instances(HERE), provider.instances(THERE)
    looks = [path for _, path in server.calls if path == "/aggregated/instances"]
    assert len(looks) == 3, "one page a zone, once"
    assert first.begun_s == second.begun_s
    assert provider.instances(HERE).begun_s > first.begun_s, "the same look is no second witness"


def test_a_zone_that_can_not_be_reached_makes_its_region_unknown(
    server: Compute, provider: GcpProvider
) -> None:
    server.trouble.zones.add("here-1-b")
    assert "here-1-b" in provider.instances(HERE).problem
    assert provider.instances(THERE).problem == ""


def test_a_preemption_is_seen_while_the_machine_stops(server: Compute, provider: GcpProvider) -> None:
    provider.launch(request(server, provider.offers(H100)[0]))
    seen = only(provider)
    assert not seen.interrupting
    server.begin_preemption(seen.id)
    seen = only(provider)
    assert (seen.state, seen.interrupting) == (CloudState.STOPPING, True)


def test_an_end_by_market_stays_one_when_the_machine_is_deleted_afterwards(
    server: Compute, provider: GcpProvider
) -> None:
    wanted = request(server, provider.offers(H100)[0])
    provider.launch(wanted)
    seen = only(provider)
    server.begin_preemption(seen.id)
    server.end_operations()
    provider.terminate(record_of(wanted, seen.id))
    gone = only(provider)
    assert (gone.id, gone.launch_id, gone.state) == (seen.id, "launch-1", CloudState.ENDED)
    assert gone.end is EndProof.INTERRUPTED


def test_a_machine_that_is_off_is_still_there_and_says_why(server: Compute, provider: GcpProvider) -> None:
    """Its disk costs money until it is deleted: only a preemption deletes by itself."""
    wanted = request(server, provider.offers(H100)[0])
    provider.launch(wanted)
    machine = only(provider).id
    server.shut_down(machine)
    off = only(provider)
    assert (off.state, off.end, off.interrupting) == (CloudState.OFF, EndProof.GUEST, False)
    assert off.ended_at is not None
    assert "guestTerminate" in off.end_text
    provider.terminate(record_of(wanted, machine))
    gone = only(provider)
    assert (gone.state, gone.end) == (CloudState.ENDED, EndProof.GUEST)


def test_who_deleted_it_is_told(server: Compute, provider: GcpProvider) -> None:
    wanted = request(server, provider.offers(H100)[0])
    provider.launch(wanted)
    provider.terminate(record_of(wanted))
    gone = only(provider)
    assert gone.end is EndProof.OURS_OR_PERSON
    assert "somebody@example.com" in gone.end_text
    assert gone.ended_at is not None


def test_a_stock_out_is_of_that_zone(server: Compute, provider: GcpProvider) -> None:
    first, second, *_ = provider.offers(H100)
    server.trouble.dry[first.zone, first.instance_type, "spot"] = (
        "ZONE_RESOURCE_POOL_EXHAUSTED",
        "none left",
    )
    with pytest.raises(Capacity, match="none left"):
        provider.launch(request(server, first))
    provider.launch(request(server, second, "launch-2"))
    assert only(provider).zone == second.zone


def test_a_zone_that_is_not_configured_is_told(server: Compute, provider: GcpProvider) -> None:
    (offer, *_) = provider.offers(H100)
    with pytest.raises(Invalid, match=r"providers\.gcp\.regions.*here-1-z"):
        provider.launch(request(server, replace(offer, zone="here-1-z")))


def test_wrong_settings_are_found_before_the_first_launch(server: Compute) -> None:
    config = server.config()
    region = replace(config.regions[HERE], zones=("here-1-a", "here-1-z"))
    provider = GcpProvider(
        replace(config, regions={HERE: region}), server.clock, server.owner, server.credentials
    )
    assert provider.check() == ["there is no zone here-1-z: mend providers.gcp.regions.here-1"]
    none = replace(config, service_account="")
    parts = (none, server.clock, server.owner, server.credentials)
    (problem,) = GcpProvider(*parts, by_role=True).check()
    assert "service_account" in problem
    assert GcpProvider(*parts).check() == [], "where jobs get keys of their own, machines need no account"
