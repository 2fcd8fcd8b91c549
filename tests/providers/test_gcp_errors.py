"""What each refusal of Compute Engine makes the controller do: the class, what it blocks, for how long."""

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
from outlast_orchestrator.providers.gcp import errors
from outlast_orchestrator.providers.gcp.errors import from_call, from_launch

POOL, ZONE, FAMILY, REGION = ScopeKind.POOL, ScopeKind.ZONE, ScopeKind.FAMILY, ScopeKind.REGION
ACCOUNT, REQUEST, CALL = ScopeKind.ACCOUNT, ScopeKind.REQUEST, ScopeKind.CALL


def offer(kind: str = "a3-highgpu-8g", zone: str = "us-central1-a", market: Market = Market.SPOT) -> Offer:
    return Offer("gcp", zone[:-2], zone, kind, market, 32.6, 87.8, gpu="H100", gpu_count=8)


def refused(
    code: str, message: str = "as told", status: int = 0, wanted: Offer | None = None
) -> ProviderError:
    request = LaunchRequest("launch-1-1", "launch-1", "owner-1", "job-1", wanted or offer(), 100, 3600.0)
    return from_launch(code, message, status, request)


TABLE: list[tuple[str, int, type[ProviderError], ScopeKind]] = [
    ("ZONE_RESOURCE_POOL_EXHAUSTED", 0, Capacity, POOL),
    ("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", 0, Capacity, POOL),
    ("GPU_STOCKOUT", 0, Capacity, POOL),
    ("stockout", 503, Capacity, POOL),
    ("UNSUPPORTED_OPERATION", 0, Capacity, POOL),
    ("VM_MIN_COUNT_NOT_REACHED", 0, Capacity, POOL),
    ("QUOTA_EXCEEDED", 0, Quota, FAMILY),
    ("quotaExceeded", 403, Quota, FAMILY),
    ("rateLimitExceeded", 403, Throttled, CALL),
    ("userRateLimitExceeded", 429, Throttled, CALL),
    ("RESOURCE_OPERATION_RATE_EXCEEDED", 0, Throttled, CALL),
    ("", 429, Throttled, CALL),
    ("forbidden", 403, Denied, ACCOUNT),
    ("IAM_PERMISSION_DENIED", 403, Denied, ACCOUNT),
    ("accessNotConfigured", 403, Denied, ACCOUNT),
    ("billingNotEnabled", 403, Denied, ACCOUNT),
    ("CONDITION_NOT_MET", 0, Denied, ACCOUNT),
    ("", 403, Denied, ACCOUNT),
    ("authError", 401, Denied, ACCOUNT),
    ("invalid", 400, Invalid, REGION),
    ("badRequest", 400, Invalid, REGION),
    ("INVALID_FIELD_VALUE", 0, Invalid, REGION),
    ("notFound", 404, Invalid, REGION),
    ("alreadyExists", 409, Invalid, REQUEST),
    ("resourceNotReady", 400, Transient, CALL),
    ("backendError", 503, Transient, CALL),
    ("INTERNAL_ERROR", 0, Transient, CALL),
    ("", 500, Transient, CALL),
    ("WORD_THAT_NOBODY_KNOWS", 0, Capacity, POOL),
]


@pytest.mark.parametrize(("code", "status", "error", "scope"), TABLE)
def test_a_refusal_of_a_launch(code: str, status: int, error: type[ProviderError], scope: ScopeKind) -> None:
    found = refused(code, status=status)
    assert (type(found), found.scope.kind) == (error, scope)
    assert "as told" in str(found), "Google's own words are kept"
    assert (code or str(status)) in str(found)
    assert covers(found.scope.key, offer().pool) is (scope not in (CALL, REQUEST))


@pytest.mark.parametrize(
    ("metric", "blocked", "free"),
    [
        (
            "PREEMPTIBLE_NVIDIA_H100_GPUS",
            offer("a3-highgpu-1g", "us-central1-c"),
            offer(market=Market.ON_DEMAND),
        ),
        ("NVIDIA_H100_GPUS", offer(market=Market.ON_DEMAND), offer("a2-highgpu-1g")),
        ("NVIDIA_H100_GPUS", offer("a3-highgpu-1g"), offer(zone="europe-west4-a")),
        ("PREEMPTIBLE_CPUS", offer("g2-standard-4", "us-central1-b"), offer(market=Market.ON_DEMAND)),
        ("IN_USE_ADDRESSES", offer("g2-standard-4"), offer(zone="europe-west4-a")),
    ],
)
def test_a_quota_blocks_what_counts_against_it_and_is_told_by_name(
    metric: str, blocked: Offer, free: Offer
) -> None:
    found = refused("QUOTA_EXCEEDED", f"Quota '{metric}' exceeded.  Limit: 0.0 in region us-central1.")
    assert covers(found.scope.key, blocked.pool)
    assert not covers(found.scope.key, free.pool)
    assert metric in str(found)
    assert "iam-admin/quotas" in str(found)
    assert found.tell


def test_the_quota_over_all_regions_blocks_them_all() -> None:
    found = refused("quotaExceeded", "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.", 403)
    assert covers(found.scope.key, offer("g2-standard-4", "europe-west4-a").pool)


def test_a_zone_that_is_not_open_to_us_is_left_alone_for_a_day() -> None:
    words = "Location us-central1-a is not found or access is unauthorized."
    found = refused("forbidden", words, 403)
    assert (type(found), found.scope.kind, found.retry_after_s) == (Capacity, ZONE, errors.DAY_S)


def test_a_type_that_the_zone_does_not_have_is_left_alone_for_a_day() -> None:
    words = "The resource 'projects/p/zones/us-central1-a/machineTypes/a3-highgpu-8g' was not found"
    found = refused("notFound", words, 404)
    assert (type(found), found.scope.kind, found.retry_after_s) == (Capacity, POOL, errors.DAY_S)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("rateLimitExceeded", 403, Throttled),
        ("forbidden", 403, Denied),
        ("invalid", 400, Invalid),
        ("backendError", 503, Transient),
        ("WORD", 0, Transient),
    ],
)
def test_a_call_that_is_about_no_pool(code: str, status: int, error: type[ProviderError]) -> None:
    assert type(from_call(code, "as told", status, "instances")) is error
