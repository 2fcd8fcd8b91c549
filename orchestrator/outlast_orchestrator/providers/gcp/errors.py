"""Translates what Compute Engine refuses into the controller's errors, with the scope that each blocks. Pure.

There are two layers: the call itself (`reason` of its first error, and the HTTP status), and the operation
that it began (`error.errors[].code`). https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-vm-creation
"""

from __future__ import annotations

import re

from outlast_orchestrator.core.errors import (
    Capacity,
    Denied,
    Invalid,
    ProviderError,
    Quota,
    Scope,
    ScopeKind,
    Throttled,
    Transient,
    call_scope,
)
from outlast_orchestrator.core.types import LaunchRequest, Offer
from outlast_orchestrator.providers.gcp.config import CLOUD

DAY_S = 86_400.0
UNKNOWN_S = 120.0
TRY_AGAIN_S = 30.0

CAPACITY = frozenset(
    {
        "ZONE_RESOURCE_POOL_EXHAUSTED",
        "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
        "REGION_RESOURCE_POOL_EXHAUSTED",
        "RESOURCE_POOL_EXHAUSTED",
        "GPU_STOCKOUT",
        "stockout",
        "resourcePoolExhausted",
        "insufficientCapacity",
        "UNSUPPORTED_OPERATION",  # seen where a machine was taken while it was made
        "VM_MIN_COUNT_NOT_REACHED",
    }
)
QUOTA = frozenset({"QUOTA_EXCEEDED", "quotaExceeded"})
THROTTLED = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "RESOURCE_OPERATION_RATE_EXCEEDED"})
DENIED = frozenset(
    {
        "forbidden",
        "IAM_PERMISSION_DENIED",
        "accessNotConfigured",
        "SERVICE_DISABLED",
        "billingNotEnabled",
        "BILLING_DISABLED",
        "projectNotFound",
        "required",
        "authError",
        "CONDITION_NOT_MET",
        "conditionNotMet",
    }
)
INVALID = frozenset(
    {"invalid", "badRequest", "INVALID_FIELD_VALUE", "INVALID_USAGE", "invalidUsage", "INVALID_ARGUMENT"}
)
NOT_HERE = frozenset({"notFound", "RESOURCE_NOT_FOUND"})
TRANSIENT = frozenset(
    {
        "resourceNotReady",
        "RESOURCE_NOT_READY",
        "resourceInUseByAnotherResource",
        "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE",
        "backendError",
        "internalError",
        "INTERNAL_ERROR",
    }
)
EXISTS = frozenset({"alreadyExists", "RESOURCE_ALREADY_EXISTS"})
EVERYWHERE = "GPUS_ALL_REGIONS"
_NO_SUCH_PLACE = re.compile(r"Location .* is not found or access is unauthorized")
_METRIC = re.compile(r"[Qq]uota '?(?:metric )?'?([A-Z0-9_]+)'?")
_SPOT_WORDS = "PREEMPTIBLE_"


def from_call(code: str, message: str, status: int, op: str) -> ProviderError:
    """Of a call that is about no pool. `code`: the reason, or "" where the answer has none."""
    text = _text(code, message, status)
    if code in THROTTLED or status == 429:  # a 403 is not always a lack of rights: the reason first
        return Throttled(text, call_scope(CLOUD, op))
    if code in DENIED or status in (401, 403):
        return Denied(text, Scope(ScopeKind.ACCOUNT, CLOUD))
    if code in INVALID or status == 400:
        return Invalid(text, call_scope(CLOUD, op))
    return Transient(text, call_scope(CLOUD, op))


def from_launch(code: str, message: str, status: int, request: LaunchRequest) -> ProviderError:
    """Of an insert, or of the operation that it began (then `status` is 0)."""
    offer, text = request.offer, _text(code, message, status)
    pool = Scope(ScopeKind.POOL, offer.pool)
    if code in CAPACITY:
        return Capacity(text, pool)
    if code in QUOTA:
        return _quota(text, message, offer)
    if _NO_SUCH_PLACE.search(message):
        return Capacity(text, Scope(ScopeKind.ZONE, f"{CLOUD}/{offer.region}/{offer.zone}"), DAY_S)
    if code in EXISTS:
        return Invalid(text, Scope(ScopeKind.REQUEST, request.token))
    if code in NOT_HERE or (status == 404 and not code):
        return _not_here(text, message, offer)
    if code in TRANSIENT:
        return Transient(text, call_scope(CLOUD, "launch"), TRY_AGAIN_S)
    if code in INVALID or (status == 400 and not code):
        return _invalid(text, message, offer)
    if code in THROTTLED | DENIED or status:
        return from_call(code, message, status, "launch")
    return Capacity(text, pool, UNKNOWN_S)


def _text(code: str, message: str, status: int) -> str:
    return f"{code or status}: {message}"


def _quota(text: str, message: str, offer: Offer) -> ProviderError:
    """GPUs over all regions, one kind of GPU in a region, or its CPUs, addresses and disks."""
    match = _METRIC.search(message)
    metric = match[1] if match else ""
    named = f"the quota {metric} is used up" if metric else "a quota is used up"
    ask = f"{named}: ask for more at https://console.cloud.google.com/iam-admin/quotas ({text})"
    if EVERYWHERE in message:
        return Quota(ask, Scope(ScopeKind.ACCOUNT, CLOUD))
    market = offer.market.value if _SPOT_WORDS in metric else "*"
    if "GPU" in metric:
        kind = "-".join(offer.instance_type.split("-")[:2])
        return Quota(ask, Scope(ScopeKind.FAMILY, f"{CLOUD}/{offer.region}/*/{kind}*/{market}"))
    return Quota(ask, Scope(ScopeKind.FAMILY, f"{CLOUD}/{offer.region}/*/*/{market}"))


def _not_here(text: str, message: str, offer: Offer) -> ProviderError:
    """A type that the zone does not have; an image or a network that is nowhere is the settings' fault."""
    if any(word in message for word in ("machineTypes", "acceleratorTypes", offer.instance_type)):
        return Capacity(text, Scope(ScopeKind.POOL, offer.pool), DAY_S)
    return Invalid(text, Scope(ScopeKind.REGION, f"{CLOUD}/{offer.region}"))


def _invalid(text: str, message: str, offer: Offer) -> ProviderError:
    if offer.instance_type in message or "machineType" in message:
        return Invalid(text, Scope(ScopeKind.POOL, offer.pool))
    return Invalid(text, Scope(ScopeKind.REGION, f"{CLOUD}/{offer.region}"))
