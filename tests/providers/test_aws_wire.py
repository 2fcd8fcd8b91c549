"""EC2 by its real SDK over a socket, beyond the contract: what is sent, how often, what a refusal means."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.fakes.hand_clock import HandClock
from tests.providers.local_kit import record_of
from tests.servers.ec2 import Ec2, ec2

from outlast_orchestrator.controller.rhythm import Rhythm
from outlast_orchestrator.core.errors import Capacity, Invalid, Quota
from outlast_orchestrator.core.types import LaunchRequest, Market, Offer, Want
from outlast_orchestrator.core.view import EndProof
from outlast_orchestrator.providers.aws.provider import STATUSES_FRESH_S, AwsProvider

REGION = "us-east-1"
SCRIPT = "#!/bin/sh\necho\n"
H100 = Want(gpus=("H100:8",))


@pytest.fixture
def server() -> Iterator[Ec2]:
    with ec2() as found:
        yield found


@pytest.fixture
def provider(server: Ec2) -> AwsProvider:
    return server.provider(REGION)


def request(server: Ec2, offer: Offer, launch: str = "launch-1") -> LaunchRequest:
    token = f"{server.owner}-{launch}-1"
    return LaunchRequest(token, launch, server.owner, "job-1", offer, 120, 3600.0, user_data=SCRIPT)


def sent(server: Ec2) -> list[str]:
    return [action for action, _ in server.calls]


def template_name(server: Ec2) -> str:
    ours = [{"Name": "tag:outlast-owner", "Values": [server.owner]}]
    (found,) = server.client(REGION).describe_launch_templates(Filters=ours)["LaunchTemplates"]
    return str(found["LaunchTemplateName"])


def test_what_a_machine_is_made_of(server: Ec2, provider: AwsProvider) -> None:
    (offer, *_) = provider.offers(H100)
    provider.launch(request(server, offer))
    client = server.client(REGION)
    (group,) = client.describe_instances(Filters=[{"Name": "tag:outlast-owner", "Values": [server.owner]}])[
        "Reservations"
    ]
    (one,) = group["Instances"]
    tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
    assert (tags["outlast-job"], tags["outlast-launch"]) == ("job-1", "launch-1")
    text = client.describe_instance_attribute(InstanceId=one["InstanceId"], Attribute="userData")
    assert base64.b64decode(text["UserData"]["Value"]) == SCRIPT.encode()
    name = template_name(server)
    (template,) = client.describe_launch_template_versions(LaunchTemplateName=name, Versions=["$Latest"])[
        "LaunchTemplateVersions"
    ]
    data = template["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    (disk,) = data["BlockDeviceMappings"]
    assert (disk["Ebs"]["VolumeSize"], disk["Ebs"]["Encrypted"]) == (120, True)


def test_a_launch_is_one_call_and_a_look_is_two_for_all_jobs(server: Ec2, provider: AwsProvider) -> None:
    (offer, *_) = provider.offers(H100)
    provider.launch(request(server, offer))
    server.calls.clear()
    for number in range(2, 5):
        provider.launch(request(server, offer, f"launch-{number}"))
    assert sent(server) == ["CreateFleet"] * 3
    server.calls.clear()
    assert len(provider.instances(REGION).instances) == 4
    assert sent(server) == ["DescribeInstances", "DescribeSpotInstanceRequests"]


def test_prices_are_asked_once_for_all(server: Ec2, provider: AwsProvider) -> None:
    for _ in range(3):
        assert provider.offers(H100)
    assert sent(server) == ["DescribeSpotPriceHistory"]
    server.calls.clear()
    assert provider.offers(replace(H100, markets=(Market.ON_DEMAND,)))
    assert sent(server) == []


def test_without_prices_the_shipped_ones_have_to_do(server: Ec2, provider: AwsProvider) -> None:
    server.trouble.refusal = (403, "UnauthorizedOperation", "no ec2:DescribeSpotPriceHistory")
    offers = provider.offers(H100)
    assert {offer.instance_type for offer in offers} == {"p5.48xlarge"}
    assert all(0 < offer.price_usd_h < offer.on_demand_usd_h for offer in offers)


@pytest.mark.parametrize(
    ("code", "error"), [("UnfulfillableCapacity", Capacity), ("MaxSpotInstanceCountExceeded", Quota)]
)
def test_an_empty_fleet_is_a_refusal_with_its_reason(
    server: Ec2, provider: AwsProvider, code: str, error: type[Exception]
) -> None:
    (offer, *_) = provider.offers(H100)
    server.trouble.dry[offer.zone, offer.instance_type, "spot"] = code
    with pytest.raises(error, match=code):
        provider.launch(request(server, offer))
    assert sent(server).count("CreateFleet") == 1, "the SDK tries nothing again by itself"


def test_capacity_as_a_server_error_is_asked_for_once(server: Ec2, provider: AwsProvider) -> None:
    (offer, *_) = provider.offers(H100)
    server.calls.clear()
    server.trouble.refusal = (
        500,
        "InsufficientInstanceCapacity",
        "We currently do not have sufficient capacity",
    )
    with pytest.raises(Capacity):
        provider.launch(request(server, offer))
    assert len(server.calls) == 1


def spot_reads(server: Ec2) -> int:
    return len([action for action, _ in server.calls if action == "DescribeSpotInstanceRequests"])


def test_a_notice_is_seen_in_the_next_routine_listing(server: Ec2) -> None:
    clock = HandClock()
    provider = AwsProvider(server.config(REGION), clock, server.owner, server.session)
    (offer, *_) = provider.offers(H100)
    provider.launch(request(server, offer))
    (seen,) = provider.instances(REGION).instances
    assert not seen.interrupting
    server.notice(seen.id, REGION)
    clock.forward(STATUSES_FRESH_S)
    (seen,) = provider.instances(REGION).instances
    assert seen.interrupting


def test_looks_in_quick_succession_share_what_the_market_says(server: Ec2) -> None:
    """While a machine is replaced its region is listed every second; steady listings are rarer than that."""
    clock = HandClock()
    provider = AwsProvider(server.config(REGION), clock, server.owner, server.session)
    (offer, *_) = provider.offers(H100)
    provider.launch(request(server, offer))
    for _ in range(5):
        (seen,) = provider.instances(REGION).instances
    assert spot_reads(server) == 1
    server.take(seen.id, REGION)
    (seen,) = provider.instances(REGION).instances
    assert seen.end is EndProof.INTERRUPTED
    assert spot_reads(server) == 1, "the machine says itself why it ended"
    assert Rhythm().list_every_s > STATUSES_FRESH_S


def test_an_end_without_a_reason_of_its_own_is_looked_up_at_once(server: Ec2, provider: AwsProvider) -> None:
    (offer, *_) = provider.offers(H100)
    provider.launch(request(server, offer))
    (seen,) = provider.instances(REGION).instances
    server.take_without_reason(seen.id, REGION)
    (seen,) = provider.instances(REGION).instances
    assert seen.end is EndProof.INTERRUPTED
    assert spot_reads(server) == 2


def test_a_template_that_was_deleted_is_made_again(server: Ec2, provider: AwsProvider) -> None:
    (offer, *_) = provider.offers(H100)
    provider.launch(request(server, offer))
    client = server.client(REGION)
    client.delete_launch_template(LaunchTemplateName=template_name(server))
    second = request(server, offer, "launch-2")
    with pytest.raises(Exception, match="LaunchTemplate"):
        provider.launch(second)
    provider.launch(second)
    assert {seen.launch_id for seen in provider.instances(REGION).instances} == {"launch-1", "launch-2"}


def test_a_zone_without_a_subnet_is_told(server: Ec2, provider: AwsProvider) -> None:
    (offer, *_) = provider.offers(H100)
    with pytest.raises(Invalid, match=r"providers\.aws\.regions.*us-east-1f"):
        provider.launch(request(server, replace(offer, zone="us-east-1f")))


def test_wrong_settings_are_found_before_the_first_launch(server: Ec2) -> None:
    config = server.config(REGION)
    region = config.regions[REGION]
    zone = min(region.subnets)
    wrong = replace(
        region,
        subnets={**region.subnets, zone: "subnet-0"},
        security_groups=("sg-0",),
        instance_profile="",
    )
    parts = (replace(config, regions={REGION: wrong}), server.clock, "owner", server.session)
    problems = AwsProvider(*parts, by_role=True).check()
    assert len(problems) == 3
    assert len(AwsProvider(*parts).check()) == 2, "where jobs get keys of their own, machines need no role"
    for word, problem in zip(("instance_profile", "subnet-0", "sg-0"), problems, strict=True):
        assert word in problem


def test_a_machine_of_another_owner_is_not_listed(server: Ec2, provider: AwsProvider) -> None:
    (offer, *_) = provider.offers(H100)
    theirs = replace(request(server, offer), owner="owner-of-somebody", token="token-of-somebody")
    provider.launch(theirs)
    assert provider.instances(REGION).instances == ()
    provider.terminate(record_of(theirs))
