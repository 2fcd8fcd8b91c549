"""What each code of EC2 makes the controller do: the class, what it blocks, for how long, in which words."""

from __future__ import annotations

import pytest

from outlast_orchestrator.core.errors import (
    Capacity,
    Denied,
    Invalid,
    ProviderError,
    Quota,
    ScopeKind,
    Throttled,
    Transient,
)
from outlast_orchestrator.core.place import covers
from outlast_orchestrator.core.types import LaunchRequest, Market, Offer
from outlast_orchestrator.providers.aws import errors
from outlast_orchestrator.providers.aws.errors import from_call, from_launch

POOL, ZONE, FAMILY, REGION = ScopeKind.POOL, ScopeKind.ZONE, ScopeKind.FAMILY, ScopeKind.REGION
ACCOUNT, REQUEST, CALL = ScopeKind.ACCOUNT, ScopeKind.REQUEST, ScopeKind.CALL


def offer(kind: str = "p5.48xlarge", zone: str = "us-east-1a", market: Market = Market.SPOT) -> Offer:
    region = zone[:-1]
    return Offer("aws", region, zone, kind, market, 17.0, 55.0, gpu="H100", gpu_count=8)


def request(wanted: Offer) -> LaunchRequest:
    return LaunchRequest("launch-1-1", "launch-1", "owner-1", "job-1", wanted, disk_gb=100, max_life_s=3600.0)


def refused(code: str, message: str = "as told", wanted: Offer | None = None) -> ProviderError:
    return from_launch(code, message, request(wanted or offer()))


TABLE: list[tuple[str, type[ProviderError], ScopeKind]] = [
    ("InsufficientInstanceCapacity", Capacity, POOL),
    ("UnfulfillableCapacity", Capacity, POOL),
    ("InsufficientCapacity", Capacity, POOL),
    ("InsufficientHostCapacity", Capacity, POOL),
    ("ReservationCapacityExceeded", Capacity, POOL),
    ("SpotMaxPriceTooLow", Capacity, POOL),
    ("Unsupported", Capacity, POOL),
    ("UnsupportedOperation", Capacity, POOL),
    ("InsufficientFreeAddressesInSubnet", Capacity, ZONE),
    ("MaxSpotInstanceCountExceeded", Quota, FAMILY),
    ("VcpuLimitExceeded", Quota, FAMILY),
    ("InstanceLimitExceeded", Quota, FAMILY),
    ("VolumeLimitExceeded", Quota, REGION),
    ("AddressLimitExceeded", Quota, REGION),
    ("PendingVerification", Quota, REGION),
    ("OptInRequired", Denied, REGION),
    ("UnauthorizedOperation", Denied, ACCOUNT),
    ("AccessDenied", Denied, ACCOUNT),
    ("AuthFailure", Denied, ACCOUNT),
    ("AuthFailure.ServiceLinkedRoleCreationNotPermitted", Denied, FAMILY),
    ("ExpiredToken", Denied, ACCOUNT),
    ("RequestExpired", Denied, ACCOUNT),
    ("InvalidClientTokenId", Denied, ACCOUNT),
    ("InvalidAMIID.NotFound", Invalid, REGION),
    ("InvalidSubnetID.NotFound", Invalid, REGION),
    ("InvalidParameterCombination", Invalid, REGION),
    ("MissingParameter", Invalid, REGION),
    ("IdempotentParameterMismatch", Invalid, REQUEST),
    ("RequestLimitExceeded", Throttled, CALL),
    ("Throttling", Throttled, CALL),
    ("ResourceCountExceeded", Throttled, CALL),
    ("InternalError", Transient, CALL),
    ("Unavailable", Transient, CALL),
    ("RequestTimeout", Transient, CALL),
    ("InvalidLaunchTemplateName.NotFoundException", Transient, CALL),
    ("WordThatNobodyKnows", Capacity, POOL),
]


@pytest.mark.parametrize(("code", "error", "scope"), TABLE)
def test_a_code_of_a_launch(code: str, error: type[ProviderError], scope: ScopeKind) -> None:
    found = refused(code)
    assert (type(found), found.scope.kind) == (error, scope)
    assert "as told" in str(found), "EC2's own words are kept"
    assert code in str(found)
    blocks = covers(found.scope.key, offer().pool)
    assert blocks is (scope not in (CALL, REQUEST))


def test_a_type_that_a_zone_does_not_have_is_not_asked_for_again_today() -> None:
    assert refused("Unsupported").retry_after_s == errors.DAY_S
    assert refused("WordThatNobodyKnows").retry_after_s == errors.UNKNOWN_S


@pytest.mark.parametrize(
    ("kind", "blocked", "free"),
    [
        ("p5.48xlarge", "p5en.48xlarge", "p4d.24xlarge"),
        ("p4d.24xlarge", "p3.2xlarge", "p5.48xlarge"),
        ("g5.xlarge", "g6e.48xlarge", "p5.48xlarge"),
    ],
)
def test_a_quota_blocks_its_family_in_its_region_and_is_told_by_name(
    kind: str, blocked: str, free: str
) -> None:
    found = refused("MaxSpotInstanceCountExceeded", wanted=offer(kind))
    assert covers(found.scope.key, offer(blocked, "us-east-1f").pool)
    for other in (
        offer(free),
        offer(kind, "us-west-2a"),
        offer(kind, market=Market.ON_DEMAND),
    ):
        assert not covers(found.scope.key, other.pool)
    assert "Spot Instance Requests" in str(found)
    assert "servicequotas" in str(found)
    assert found.tell


def test_a_type_whose_quota_is_not_known_blocks_that_type() -> None:
    found = refused("MaxSpotInstanceCountExceeded", wanted=offer("p6-b200.48xlarge"))
    assert covers(found.scope.key, offer("p6-b200.48xlarge", "us-east-1c").pool)
    assert not covers(found.scope.key, offer("p6-b300.48xlarge").pool)


def test_an_account_without_the_spot_role_can_still_have_other_machines() -> None:
    found = refused("AuthFailure.ServiceLinkedRoleCreationNotPermitted")
    assert "create-service-linked-role" in str(found)
    assert covers(found.scope.key, offer("g5.xlarge", "eu-west-1b").pool)
    assert not covers(found.scope.key, offer(market=Market.ON_DEMAND).pool)


def test_a_wrong_type_is_that_pools_matter() -> None:
    found = refused("InvalidParameterValue", "Invalid value 'p5.48xlarge' for InstanceType.")
    assert (type(found), found.scope.kind, found.retry_after_s) == (Invalid, POOL, None)


def test_a_role_that_was_made_a_moment_ago_is_asked_for_again() -> None:
    words = "Value (nodes) for iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
    assert isinstance(refused("InvalidParameterValue", words), Transient)


def test_a_full_placement_group_is_no_lack_of_machines() -> None:
    words = "You've reached the limit of instances in this spread placement group"
    assert isinstance(refused("InsufficientInstanceCapacity", words), Invalid)


@pytest.mark.parametrize(
    ("code", "error", "scope"),
    [
        ("RequestLimitExceeded", Throttled, CALL),
        ("UnauthorizedOperation", Denied, REGION),
        ("OptInRequired", Denied, REGION),
        ("InternalError", Transient, CALL),
        ("InvalidParameterValue", Invalid, CALL),
        ("WordThatNobodyKnows", Transient, CALL),
    ],
)
def test_a_listing_that_fails_says_nothing_of_other_regions(
    code: str, error: type[ProviderError], scope: ScopeKind
) -> None:
    found = from_call(code, "as told", "instances", "us-east-1")
    assert (type(found), found.scope.kind) == (error, scope)
    assert not covers(found.scope.key, offer(zone="us-west-2a").pool)
