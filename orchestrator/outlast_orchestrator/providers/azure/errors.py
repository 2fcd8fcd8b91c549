"""Translates what Azure refuses into the controller's errors, with the scope that each blocks. Pure.

The code that says it may be the outer one, one in its details, or only a word of the message; and the same
codes come from the call itself and from the operation that it began.
https://learn.microsoft.com/azure/virtual-machines/error-codes-spot
https://learn.microsoft.com/troubleshoot/azure/virtual-machines/windows/allocation-failure
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

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
from outlast_orchestrator.core.types import LaunchRequest, Market, Offer
from outlast_orchestrator.providers.azure import codes
from outlast_orchestrator.providers.azure.config import CLOUD

UNKNOWN_S = 120.0
TRY_AGAIN_S = 30.0
ALLOCATION_S = 600.0
# "Not available" may mean that there is none now, or that the subscription may not have it.
NOT_OFFERED_SPOT_S, NOT_OFFERED_S = 3600.0, 23 * 3600.0
NIC_RESERVED_S = 180.0  # for the machine that was evicted; then it is free again
QUOTA_S, QUOTA_OF_ZERO_S = 600.0, 3600.0
ASK_FOR_QUOTA = "https://portal.azure.com/#view/Microsoft_Azure_Capacity/QuotaMenuBlade/~/myQuotas"
SPOT_QUOTA = "Total Regional Spot vCPUs (lowPriorityCores)"
REGIONAL_QUOTA = "Total Regional vCPUs (cores)"
ACCOUNT = Scope(ScopeKind.ACCOUNT, CLOUD)
_SPOT_CORES = re.compile(r"low ?priority ?cores", re.I)
_REGIONAL_CORES = re.compile(r"total regional (?:v?cpus|cores)", re.I)
_FAMILY_CORES = re.compile(r"(?:approved|the) ((?:\w+ ?){1,4}?Family)(?: v?CPUs| Cores)? quota", re.I)
_NO_LIMIT = re.compile(r"current limit(?: \(\w+\))?: 0\b", re.I)
_CALL_LIMIT = re.compile(r"exceeded the limit of calls|too many requests", re.I)
# The number in a size is how many CPUs it has: all sizes of a family but that are alike.
_SIZE = re.compile(r"([A-Za-z]+_[A-Z]+)\d+(.*)")
_REGISTER = "register Microsoft.Compute and Microsoft.Network: az provider register --namespace …"
_MENDS = {
    "LinkedAuthorizationFailed": "this server may not use the subnet, the security group or the identity",
    "MissingSubscriptionRegistration": _REGISTER,
    "SubscriptionNotRegistered": _REGISTER,
    "AzureSpotFeatureNotEnabledForSubscription": "this kind of subscription has no spot machines",
    "ResourceGroupNotFound": "make the group, or mend providers.azure.resource_group",
}


@dataclass(frozen=True)
class Refusal:
    """What Azure said: its codes from the outside in, all messages, the HTTP status (0: the operation's)."""

    codes: tuple[str, ...]
    message: str
    status: int = 0
    retry_after_s: float | None = None

    @property
    def text(self) -> str:
        return f"{'/'.join(self.codes) or self.status}: {self.message}"

    @property
    def exists(self) -> bool:
        """The name is taken."""
        return self.status == 412 or any(code in codes.EXISTS for code in self.codes)

    @property
    def absent(self) -> bool:
        """It is not there, and what it would be in is."""
        return self.status == 404 and "ResourceGroupNotFound" not in self.codes

    def code(self, known: Callable[[str], bool]) -> str:
        """The outermost that is known, and only then one that says little; "" without one."""
        found = sorted(filter(known, self.codes), key=codes.OUTER.__contains__)
        return found[0] if found else ""


def from_call(refused: Refusal, op: str) -> ProviderError:
    """Of a call that is about no pool."""
    here = call_scope(CLOUD, op)
    if _throttled(refused):
        return Throttled(refused.text, here, refused.retry_after_s)
    if refused.code(codes.DENIED.__contains__) or refused.status in (401, 403):
        return Denied(_told(refused), ACCOUNT)
    if refused.code(codes.INVALID.__contains__) or refused.status == 400:
        return Invalid(_told(refused), here)
    return Transient(_told(refused), here, refused.retry_after_s)


def from_launch(refused: Refusal, request: LaunchRequest) -> ProviderError:
    """Of the call that makes a machine."""
    offer = request.offer
    if _throttled(refused):
        return Throttled(refused.text, call_scope(CLOUD, "launch"), refused.retry_after_s)
    quota = _quota(refused, offer)
    if quota is not None:
        return quota
    if refused.exists:
        return Invalid(refused.text, Scope(ScopeKind.REQUEST, request.token))
    code = refused.code(codes.is_known)
    if code in codes.CAPACITY:
        return _capacity(code, refused, offer)
    if code in codes.DENIED:
        where = Scope(ScopeKind.REGION, f"{CLOUD}/{offer.region}") if code in codes.POLICY else ACCOUNT
        return Denied(_told(refused), where)
    if codes.is_transient(code):
        wait_s = NIC_RESERVED_S if code == codes.RESERVED else TRY_AGAIN_S
        return Transient(refused.text, call_scope(CLOUD, "launch"), refused.retry_after_s or wait_s)
    if code in codes.INVALID | codes.NOT_HERE or refused.status in (400, 404):
        return _invalid(code, refused, offer)
    if refused.status in (401, 403):
        return Denied(_told(refused), ACCOUNT)
    if refused.status >= 500:
        return Transient(refused.text, call_scope(CLOUD, "launch"), refused.retry_after_s or TRY_AGAIN_S)
    return Capacity(refused.text, Scope(ScopeKind.POOL, offer.pool), UNKNOWN_S)


def from_failure(refused: Refusal, request: LaunchRequest) -> ProviderError:
    """Of an operation that is over. What failed in passing is known to have failed: no reason to ask with
    the same token again, but with another one."""
    error = from_launch(refused, request)
    if isinstance(error, Throttled | Transient):
        return Capacity(str(error), Scope(ScopeKind.POOL, request.offer.pool), UNKNOWN_S)
    return error


def family_of(instance_type: str) -> str:
    """A pattern for the sizes that share its quota, as far as their names tell."""
    match = _SIZE.fullmatch(instance_type)
    return f"{match[1]}*{match[2]}" if match else instance_type


def _told(refused: Refusal) -> str:
    mends = [_MENDS[code] for code in refused.codes if code in _MENDS]
    return "; ".join([*mends, refused.text])


def _throttled(refused: Refusal) -> bool:
    """A conflict that speaks of a limit of calls is one as well."""
    named = refused.code(codes.THROTTLED.__contains__)
    return bool(named) or refused.status == 429 or bool(_CALL_LIMIT.search(refused.message))


def _quota(refused: Refusal, offer: Offer) -> ProviderError | None:
    """CPUs of one family, of all spot machines or of all others in a region; or addresses and the like."""
    words = refused.message
    family = _FAMILY_CORES.search(words)
    if _SPOT_CORES.search(words):
        named, where = SPOT_QUOTA, f"{CLOUD}/{offer.region}/*/*/{Market.SPOT.value}"
    elif _REGIONAL_CORES.search(words):
        named, where = REGIONAL_QUOTA, f"{CLOUD}/{offer.region}/*/*/{offer.market.value}"
    elif family is not None:
        types = family_of(offer.instance_type)
        named, where = f"{family[1]} vCPUs", f"{CLOUD}/{offer.region}/*/{types}/{offer.market.value}"
    elif refused.code(codes.QUOTA.__contains__):
        named, where = "that the message names", f"{CLOUD}/{offer.region}/*/*/*"
    else:
        return None
    told = f"the quota {named} in {offer.region} is used up: ask for more at {ASK_FOR_QUOTA} ({refused.text})"
    wait_s = QUOTA_OF_ZERO_S if _NO_LIMIT.search(words) else QUOTA_S
    return Quota(told, Scope(ScopeKind.FAMILY, where), wait_s)


def _capacity(code: str, refused: Refusal, offer: Offer) -> ProviderError:
    """An allocation that failed did so for both markets; too many wishes at once are one market's."""
    pool = Scope(ScopeKind.POOL, offer.pool)
    if code == codes.NOT_AVAILABLE:
        spot = offer.market is Market.SPOT
        return Capacity(refused.text, pool, NOT_OFFERED_SPOT_S if spot else NOT_OFFERED_S)
    region, size = f"{CLOUD}/{offer.region}", offer.instance_type
    keys = {
        "AllocationFailed": f"{region}/*/{size}",
        "ZonalAllocationFailed": f"{region}/{offer.zone}/{size}",
        "OverconstrainedAllocationRequest": f"{region}/*/{size}/{offer.market.value}",
    }
    return Capacity(refused.text, Scope(ScopeKind.POOL, keys.get(code, offer.pool)), ALLOCATION_S)


def _invalid(code: str, refused: Refusal, offer: Offer) -> ProviderError:
    """What is wrong with the size, with spot machines, with the group, or with the region's settings."""
    told, region = _told(refused), f"{CLOUD}/{offer.region}"
    if code == "ResourceGroupNotFound":
        return Invalid(told, ACCOUNT)
    if code in codes.NO_SPOT:
        return Invalid(told, Scope(ScopeKind.FAMILY, f"{CLOUD}/*/*/*/{Market.SPOT.value}"))
    if code in codes.NO_SPOT_SIZE:
        return Invalid(told, Scope(ScopeKind.FAMILY, f"{region}/*/{offer.instance_type}/{Market.SPOT.value}"))
    if offer.instance_type in refused.message or "vmSize" in refused.message:
        return Invalid(told, Scope(ScopeKind.POOL, offer.pool))
    return Invalid(told, Scope(ScopeKind.REGION, region))
