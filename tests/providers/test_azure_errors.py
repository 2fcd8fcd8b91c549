"""What each refusal of Azure makes the controller do: the class, what it blocks, for how long."""

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
from outlast_orchestrator.providers.azure import errors
from outlast_orchestrator.providers.azure.errors import (
    Refusal,
    family_of,
    from_call,
    from_failure,
    from_launch,
)

POOL, FAMILY, REGION = ScopeKind.POOL, ScopeKind.FAMILY, ScopeKind.REGION
ACCOUNT, REQUEST, CALL = ScopeKind.ACCOUNT, ScopeKind.REQUEST, ScopeKind.CALL
A100 = "Standard_NC24ads_A100_v4"


def offer(kind: str = A100, zone: str = "1", market: Market = Market.SPOT, region: str = "eastus") -> Offer:
    return Offer("azure", region, zone, kind, market, 0.44, 3.67, gpu="A100-80GB", gpu_count=1)


def request(wanted: Offer | None = None) -> LaunchRequest:
    return LaunchRequest("launch-1-1", "launch-1", "owner-1", "job-1", wanted or offer(), 100, 3600.0)


def refused(
    *codes: str, message: str = "as told", status: int = 409, wanted: Offer | None = None
) -> ProviderError:
    return from_launch(Refusal(codes, message, status), request(wanted))


TABLE: list[tuple[str, int, type[ProviderError], ScopeKind]] = [
    ("SkuNotAvailable", 409, Capacity, POOL),
    ("AllocationFailed", 409, Capacity, POOL),
    ("ZonalAllocationFailed", 0, Capacity, POOL),
    ("OverconstrainedAllocationRequest", 0, Capacity, POOL),
    ("OverconstrainedZonalAllocationRequest", 0, Capacity, POOL),
    ("SpotPriceGreaterThanProvidedMaxPrice", 409, Capacity, POOL),
    ("QuotaExceeded", 409, Quota, FAMILY),
    ("ErrCode_InsufficientVCPUQuota", 409, Quota, FAMILY),
    ("PublicIPCountLimitReached", 409, Quota, FAMILY),
    ("ResourceQuotaExceeded", 409, Quota, FAMILY),
    ("AzureSpotFeatureNotEnabledForSubscription", 400, Invalid, FAMILY),
    ("AzureSpotIsNotSupportedForThisVMSize", 400, Invalid, FAMILY),
    ("VMPriorityCannotBeApplied", 409, Invalid, FAMILY),
    ("AzureSpotVMNotSupportedInAvailabilitySet", 409, Invalid, REGION),
    ("EvictionPolicyCanBeSetOnlyOnAzureSpotVirtualMachines", 409, Invalid, REGION),
    ("MaxPriceValueInvalid", 400, Invalid, REGION),
    ("ReadOnlyDisabledSubscription", 409, Denied, ACCOUNT),
    ("SubscriptionNotFound", 404, Denied, ACCOUNT),
    ("InvalidSubscriptionId", 400, Denied, ACCOUNT),
    ("SubscriptionNotRegistered", 400, Denied, ACCOUNT),
    ("MissingSubscriptionRegistration", 409, Denied, ACCOUNT),
    ("AuthorizationFailed", 403, Denied, ACCOUNT),
    ("LinkedAuthorizationFailed", 403, Denied, ACCOUNT),
    ("InvalidAuthenticationToken", 401, Denied, ACCOUNT),
    ("ExpiredAuthenticationToken", 401, Denied, ACCOUNT),
    ("RequestDisallowedByPolicy", 403, Denied, REGION),
    ("RequestDisallowedByAzure", 403, Denied, REGION),
    ("SomethingNew", 403, Denied, ACCOUNT),
    ("InvalidParameter", 400, Invalid, REGION),
    ("InvalidResourceReference", 400, Invalid, REGION),
    ("BadRequest", 400, Invalid, REGION),
    ("ImageNotFound", 404, Invalid, REGION),
    ("PlatformImageNotFound", 404, Invalid, REGION),
    ("InvalidTemplateDeployment", 400, Invalid, REGION),
    ("MarketplacePurchaseEligibilityFailed", 400, Invalid, REGION),
    ("SomethingNew", 400, Invalid, REGION),
    ("ResourceNotFound", 404, Invalid, REGION),
    ("NotFound", 404, Invalid, REGION),
    ("ResourceGroupNotFound", 404, Invalid, ACCOUNT),
    ("PropertyChangeNotAllowed", 409, Invalid, REQUEST),
    ("PreconditionFailed", 412, Invalid, REQUEST),
    ("TooManyRequests", 429, Throttled, CALL),
    ("SubscriptionRequestsThrottled", 429, Throttled, CALL),
    ("OperationNotAllowed", 429, Throttled, CALL),
    ("RetryableError", 409, Transient, CALL),
    ("InternalServerError", 500, Transient, CALL),
    ("InternalExecutionError", 500, Transient, CALL),
    ("NetworkingInternalOperationError", 500, Transient, CALL),
    ("ServiceUnavailable", 503, Transient, CALL),
    ("OperationTimedOut", 500, Transient, CALL),
    ("GatewayTimeout", 504, Transient, CALL),
    ("OSProvisioningTimedOut", 0, Transient, CALL),
    ("OSProvisioningInternalError", 0, Transient, CALL),
    ("AnotherOperationInProgress", 409, Transient, CALL),
    ("RetryableErrorDueToAnotherOperation", 409, Transient, CALL),
    ("ConcurrentOperationInProgress", 409, Transient, CALL),
    ("Conflict", 409, Transient, CALL),
    ("OperationPreempted", 409, Transient, CALL),
    ("NicReservedForAnotherVm", 409, Transient, CALL),
    ("PrincipalNotFound", 400, Transient, CALL),
    ("SomethingNew", 503, Transient, CALL),
    ("SomethingNew", 409, Capacity, POOL),
    ("OperationNotAllowed", 409, Capacity, POOL),
]


@pytest.mark.parametrize(("code", "status", "error", "scope"), TABLE)
def test_a_refusal_of_a_launch(code: str, status: int, error: type[ProviderError], scope: ScopeKind) -> None:
    found = refused(code, status=status)
    assert (type(found), found.scope.kind) == (error, scope)
    assert "as told" in str(found), "Azure's own words are kept"
    assert code in str(found)
    assert covers(found.scope.key, offer().pool) is (scope not in (CALL, REQUEST))
    assert (found.retry_after_s is None) is (error in (Denied, Invalid))


def test_a_code_inside_says_what_an_outer_one_does_not() -> None:
    assert type(refused("Conflict", "SkuNotAvailable")) is Capacity
    assert type(refused("InvalidTemplateDeployment", "QuotaExceeded", status=400)) is Quota
    assert type(refused("DeploymentFailed", "Conflict", "ZonalAllocationFailed")) is Capacity
    assert type(refused("BadRequest", "LinkedAuthorizationFailed", status=400)) is Denied


OVER = "Operation could not be completed as it results in exceeding approved {} quota. Additional details -"
ON_DEMAND = Market.ON_DEMAND
FREE_REGION = offer(region="westeurope")


@pytest.mark.parametrize(
    ("named", "told", "market", "blocked", "free"),
    [
        ("LowPriorityCores", errors.SPOT_QUOTA, Market.SPOT, offer("Standard_NC4as_T4_v3", "2"), FREE_REGION),
        ("Low Priority Cores", errors.SPOT_QUOTA, Market.SPOT, offer(), offer(market=ON_DEMAND)),
        (
            "standardNCADSA100v4Family Cores",
            "standardNCADSA100v4Family vCPUs",
            ON_DEMAND,
            offer("Standard_NC96ads_A100_v4", "2", ON_DEMAND),
            offer("Standard_NC4as_T4_v3", market=ON_DEMAND),
        ),
        (
            "Standard NDASv4_A100 Family Cores",
            "Standard NDASv4_A100 Family vCPUs",
            ON_DEMAND,
            offer(market=ON_DEMAND),
            offer(),
        ),
        ("Total Regional Cores", errors.REGIONAL_QUOTA, ON_DEMAND, offer("x", "2", ON_DEMAND), offer()),
    ],
)
def test_a_quota_blocks_what_counts_against_it_and_is_told_by_name(
    named: str, told: str, market: Market, blocked: Offer, free: Offer
) -> None:
    words = OVER.format(named) + " Current Limit: 10, Current Usage: 0, Additional Required: 24"
    found = refused("OperationNotAllowed", message=words, wanted=offer(market=market))
    assert type(found) is Quota
    assert covers(found.scope.key, blocked.pool)
    assert not covers(found.scope.key, free.pool)
    assert told in str(found)
    assert errors.ASK_FOR_QUOTA in str(found)
    assert found.tell
    assert found.retry_after_s == errors.QUOTA_S


def test_a_quota_of_nothing_is_left_alone_for_longer() -> None:
    words = OVER.format("LowPriorityCores") + " Current Limit: 0, Current Usage: 0"
    assert refused("OperationNotAllowed", message=words).retry_after_s == errors.QUOTA_OF_ZERO_S


def test_a_limit_of_calls_in_a_conflict_is_throttling() -> None:
    words = "The server rejected the request because too many requests have been received"
    assert type(refused("OperationNotAllowed", message=words)) is Throttled
    assert type(refused("OperationNotAllowed", message="exceeded the limit of calls")) is Throttled


def test_when_to_come_again_is_as_azure_says() -> None:
    busy = Refusal(("TooManyRequests",), "as told", 429, retry_after_s=17.0)
    assert from_launch(busy, request()).retry_after_s == 17.0
    assert from_call(busy, "instances").retry_after_s == 17.0
    assert refused("NicReservedForAnotherVm").retry_after_s == errors.NIC_RESERVED_S


@pytest.mark.parametrize(
    ("code", "blocked", "free"),
    [
        ("SkuNotAvailable", offer(), offer(zone="2")),
        ("SkuNotAvailable", offer(), offer(market=ON_DEMAND)),
        ("AllocationFailed", offer(zone="2", market=ON_DEMAND), offer("Standard_NC4as_T4_v3")),
        ("ZonalAllocationFailed", offer(market=ON_DEMAND), offer(zone="2")),
        ("OverconstrainedAllocationRequest", offer(zone="2"), offer(market=ON_DEMAND)),
        ("OverconstrainedZonalAllocationRequest", offer(), offer(zone="2")),
    ],
)
def test_a_lack_of_machines_blocks_as_far_as_it_reaches(code: str, blocked: Offer, free: Offer) -> None:
    found = refused(code, status=0)
    assert covers(found.scope.key, blocked.pool)
    assert not covers(found.scope.key, free.pool)
    assert not covers(found.scope.key, FREE_REGION.pool)


def test_what_is_not_offered_on_demand_is_left_alone_for_most_of_a_day() -> None:
    assert refused("SkuNotAvailable").retry_after_s == errors.NOT_OFFERED_SPOT_S
    assert refused("SkuNotAvailable", wanted=offer(market=ON_DEMAND)).retry_after_s == errors.NOT_OFFERED_S


def test_a_wrong_size_blocks_that_pool_and_no_spot_leaves_on_demand() -> None:
    found = refused("InvalidParameter", message=f"The value {A100} provided for the VM size", status=400)
    assert (type(found), found.scope.key) == (Invalid, offer().pool)
    found = refused("AzureSpotFeatureNotEnabledForSubscription", status=400)
    assert covers(found.scope.key, FREE_REGION.pool)
    assert not covers(found.scope.key, offer(market=ON_DEMAND).pool)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("AllocationFailed", Capacity),
        ("OSProvisioningTimedOut", Capacity),
        ("InternalServerError", Capacity),
        ("TooManyRequests", Capacity),
        ("SomethingNew", Capacity),
        ("QuotaExceeded", Quota),
        ("LinkedAuthorizationFailed", Denied),
        ("ImageNotFound", Invalid),
    ],
)
def test_an_operation_that_is_over_leaves_nothing_uncertain(code: str, error: type[ProviderError]) -> None:
    found = from_failure(Refusal((code,), "as told"), request())
    assert type(found) is error
    assert code in str(found)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("TooManyRequests", 429, Throttled),
        ("AuthorizationFailed", 403, Denied),
        ("SubscriptionNotFound", 404, Denied),
        ("InvalidParameter", 400, Invalid),
        ("ResourceGroupNotFound", 404, Transient),
        ("InternalServerError", 500, Transient),
        ("AnotherOperationInProgress", 409, Transient),
    ],
)
def test_a_call_that_is_about_no_pool(code: str, status: int, error: type[ProviderError]) -> None:
    found = from_call(Refusal((code,), "as told", status), "instances")
    assert type(found) is error
    assert "as told" in str(found)


@pytest.mark.parametrize(
    ("size", "family"),
    [
        (A100, "Standard_NC*ads_A100_v4"),
        ("Standard_NC4as_T4_v3", "Standard_NC*as_T4_v3"),
        ("Standard_ND96isr_H100_v5", "Standard_ND*isr_H100_v5"),
        ("odd", "odd"),
    ],
)
def test_sizes_of_a_family_are_alike_but_for_their_number(size: str, family: str) -> None:
    assert family_of(size) == family
