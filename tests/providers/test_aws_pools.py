"""One fleet over several pools: what is sent, where the machine is, and what it means when none is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from tests.providers.test_aws_errors import offer
from tests.providers.test_aws_errors import request as request_of
from tests.servers.ec2 import Ec2, ec2

from outlast_orchestrator.core.errors import Capacity, Invalid, ProviderError, Quota, Transient
from outlast_orchestrator.core.types import LaunchRequest, Offer, Want
from outlast_orchestrator.providers.aws.answer import nothing_started, refused

REGION = "us-east-1"
NONE_LEFT = "InsufficientInstanceCapacity"
HERE, THERE = offer(), offer(zone="us-east-1b")
SMALL = offer("g6.xlarge")


@pytest.fixture
def server() -> Iterator[Ec2]:
    with ec2() as found:
        yield found


def pools(server: Ec2, *gpus: str) -> list[Offer]:
    return server.provider(REGION).offers(Want(gpus=gpus or ("L4:1",)))


def request(server: Ec2, offers: Sequence[Offer]) -> LaunchRequest:
    first, *others = offers
    token = f"{server.owner}-launch-1-1"
    return LaunchRequest(token, "launch-1", server.owner, "job-1", first, 120, 3600.0, others=tuple(others))


def several(*offers: Offer) -> LaunchRequest:
    return replace(request_of(offers[0]), others=offers[1:])


def test_one_call_takes_the_pool_that_has_a_machine(server: Ec2) -> None:
    first, second, *_ = found = pools(server)
    server.trouble.dry[first.zone, first.instance_type, "spot"] = NONE_LEFT
    provider = server.provider(REGION)
    provider.launch(request(server, found))
    assert server.asked_for == [[(one.zone, one.instance_type) for one in found]]
    (seen,) = provider.instances(REGION).instances
    assert (seen.zone, seen.instance_type) == (second.zone, second.instance_type)


def test_the_same_token_sent_again_is_the_same_machine(server: Ec2) -> None:
    provider, wanted = server.provider(REGION), request(server, pools(server))
    provider.launch(wanted)
    provider.launch(wanted)
    assert len(provider.instances(REGION).instances) == 1


def test_none_left_is_said_of_each_pool(server: Ec2) -> None:
    found = pools(server)
    for one in found:
        server.trouble.dry[one.zone, one.instance_type, "spot"] = NONE_LEFT
    with pytest.raises(Capacity) as error:
        server.provider(REGION).launch(request(server, found))
    blocked = [error.value.scope.key, *(one.scope.key for one in error.value.also)]
    assert sorted(blocked) == sorted(one.pool for one in found)


def test_a_zone_that_is_no_longer_in_the_settings_is_left_out(server: Ec2) -> None:
    first, second, *_ = pools(server)
    region = server.config(REGION).regions[REGION]
    kept = replace(region, subnets={first.zone: region.subnets[first.zone]})
    config = replace(server.config(REGION), regions={REGION: kept})
    type(server.provider(REGION))(config, server.clock, server.owner, server.session).launch(
        request(server, [first, second])
    )
    assert server.asked_for == [[(first.zone, first.instance_type)]]


def answer(*errors: tuple[str, Offer | None]) -> dict[str, object]:
    return {"Errors": [_error(code, about) for code, about in errors], "Instances": []}


def _error(code: str, about: Offer | None) -> dict[str, object]:
    found: dict[str, object] = {"ErrorCode": code, "ErrorMessage": "as told"}
    if about is not None:
        names = {"InstanceType": about.instance_type, "AvailabilityZone": about.zone}
        found["LaunchTemplateAndOverrides"] = {"Overrides": names}
    return found


def scopes(error: ProviderError) -> list[str]:
    return [error.scope.key, *(one.scope.key for one in error.also)]


def test_the_most_telling_comes_first() -> None:
    wanted = several(HERE, THERE, SMALL)
    error = nothing_started(
        answer(("RequestLimitExceeded", HERE), (NONE_LEFT, THERE), ("MaxSpotInstanceCountExceeded", SMALL)),
        wanted,
    )
    assert isinstance(error, Quota)
    assert [type(one).__name__ for one in error.also] == ["Capacity", "Throttled"]


def test_a_quota_that_pools_share_is_one_refusal() -> None:
    code = "MaxSpotInstanceCountExceeded"
    error = nothing_started(answer((code, HERE), (code, THERE)), several(HERE, THERE))
    assert isinstance(error, Quota)
    assert error.also == ()


def test_a_reason_that_names_no_pool_and_an_empty_answer_are_about_all() -> None:
    wanted = several(HERE, THERE)
    for said in (answer(("UnfulfillableCapacity", None)), answer()):
        assert scopes(nothing_started(said, wanted)) == [HERE.pool, THERE.pool]


def test_a_refused_call_is_about_the_type_that_it_names() -> None:
    wanted = several(HERE, THERE, SMALL)
    error = refused("InvalidParameterValue", "Invalid value 'g6.xlarge' for InstanceType.", wanted)
    assert isinstance(error, Invalid)
    assert scopes(error) == [SMALL.pool]
    assert scopes(refused(NONE_LEFT, "nothing is left", wanted)) == [HERE.pool, THERE.pool, SMALL.pool]
    assert isinstance(refused("InternalError", "try again", wanted), Transient)
