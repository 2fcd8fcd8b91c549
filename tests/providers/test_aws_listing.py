"""How a machine of EC2 is read: its state, and whose doing its end was."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from outlast_orchestrator.core.types import Market
from outlast_orchestrator.core.view import CloudState, EndProof, Seen
from outlast_orchestrator.providers.aws.listing import seen_of

BEGUN = datetime(2026, 11, 23, 8, 0, tzinfo=timezone.utc)


def machine(state: str = "running", **more: Any) -> dict[str, Any]:
    return {
        "InstanceId": "i-1",
        "InstanceType": "p5.48xlarge",
        "State": {"Name": state},
        "LaunchTime": BEGUN,
        "Placement": {"AvailabilityZone": "us-east-1a"},
        "InstanceLifecycle": "spot",
        "PrivateIpAddress": "10.0.0.7",
        "Tags": [
            {"Key": "outlast-launch", "Value": "launch-1"},
            {"Key": "outlast-price", "Value": "17.25"},
            {"Key": "of-somebody-else", "Value": "x"},
        ],
        **more,
    }


def read(one: dict[str, Any], code: str = "", **more: Any) -> Seen:
    statuses = {"i-1": {"Code": code, **more}} if code else {}
    return seen_of(one, statuses, "us-east-1")


def ended(code: str, status: str = "", transition: str = "") -> Seen:
    reason = {"Code": code, "Message": f"{code}: in words"}
    return read(machine("terminated", StateReason=reason, StateTransitionReason=transition), status)


def test_a_machine_that_runs() -> None:
    seen = read(machine())
    assert (seen.state, seen.market, seen.address) == (CloudState.RUNNING, Market.SPOT, "10.0.0.7")
    assert (seen.launch_id, seen.price_usd_h, seen.started_at) == ("launch-1", 17.25, BEGUN.timestamp())
    assert (seen.ended_at, seen.end, seen.interrupting) == (None, EndProof.UNKNOWN, False)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("pending", CloudState.PENDING),
        ("shutting-down", CloudState.STOPPING),
        ("stopped", CloudState.OFF),
        ("terminated", CloudState.ENDED),
        ("a-state-of-the-future", CloudState.RUNNING),
    ],
)
def test_only_terminated_is_the_end(name: str, state: CloudState) -> None:
    assert read(machine(name)).state is state


@pytest.mark.parametrize(
    "code", ["marked-for-termination", "instance-terminated-no-capacity", "instance-terminated-by-price"]
)
def test_the_request_tells_the_end_while_the_machine_still_runs(code: str) -> None:
    assert read(machine(), code).interrupting
    assert not read(machine("terminated"), code).interrupting


@pytest.mark.parametrize("code", ["fulfilled", "request-canceled-and-instance-running", ""])
def test_other_words_of_the_request_are_no_notice(code: str) -> None:
    assert not read(machine(), code).interrupting


@pytest.mark.parametrize(
    ("code", "proof"),
    [
        ("Server.SpotInstanceTermination", EndProof.INTERRUPTED),
        ("Server.SpotInstanceShutdown", EndProof.INTERRUPTED),
        ("Server.InsufficientInstanceCapacity", EndProof.LAUNCH),
        ("Client.InternalError", EndProof.LAUNCH),
        ("Client.VolumeLimitExceeded", EndProof.LAUNCH),
        ("Server.InternalError", EndProof.HOST),
        ("Server.ScheduledStop", EndProof.HOST),
        ("Client.UserInitiatedShutdown", EndProof.OURS_OR_PERSON),
        ("Client.InstanceInitiatedShutdown", EndProof.GUEST),
        ("Code.OfTheFuture", EndProof.UNKNOWN),
    ],
)
def test_whose_doing_the_end_was(code: str, proof: EndProof) -> None:
    seen = ended(code)
    assert seen.end is proof
    assert code in seen.end_text


def test_the_request_is_asked_where_the_machine_gives_no_reason() -> None:
    assert ended("", "instance-terminated-no-capacity").end is EndProof.INTERRUPTED
    assert ended("", "instance-terminated-by-user").end is EndProof.UNKNOWN
    by_person = ended("Client.UserInitiatedShutdown", "marked-for-termination")
    assert by_person.end is EndProof.OURS_OR_PERSON, "a person was faster than the market"


def test_when_it_ended() -> None:
    at = datetime(2026, 11, 23, 8, 22, tzinfo=timezone.utc)
    told = "User initiated (2026-11-23 08:22:00 GMT)"
    assert ended("Client.UserInitiatedShutdown", transition=told).ended_at == at.timestamp()
    taken = read(machine("terminated"), "instance-terminated-no-capacity", UpdateTime=at)
    assert taken.ended_at == at.timestamp()
    assert ended("Server.InternalError").ended_at is None
