"""Translates what EC2 refuses into the controller's errors, with the scope that each blocks. Pure.

Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html; what they mean for a
launch is what Karpenter and others found out.
"""

from __future__ import annotations

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
from outlast_orchestrator.providers.aws.config import CLOUD
from outlast_orchestrator.providers.aws.quotas import quota_of

DAY_S = 86_400.0
UNKNOWN_S = 120.0

CAPACITY = frozenset(
    {
        "InsufficientInstanceCapacity",
        "UnfulfillableCapacity",
        "InsufficientCapacity",
        "InsufficientHostCapacity",
        "ReservationCapacityExceeded",
        "SpotMaxPriceTooLow",
    }
)
NOT_OFFERED = frozenset({"Unsupported", "UnsupportedOperation"})  # that type in that zone
NO_ADDRESSES = "InsufficientFreeAddressesInSubnet"
VCPU_QUOTA = frozenset({"MaxSpotInstanceCountExceeded", "VcpuLimitExceeded", "InstanceLimitExceeded"})
OTHER_QUOTA = frozenset(
    {
        "MaxFleetCountExceeded",
        "VolumeLimitExceeded",
        "MaxIOPSLimitExceeded",
        "AddressLimitExceeded",
        "NetworkInterfaceLimitExceeded",
        "VpcLimitExceeded",
        "SecurityGroupLimitExceeded",
        "PendingVerification",
    }
)
NO_SPOT_ROLE = "AuthFailure.ServiceLinkedRoleCreationNotPermitted"
CLOCK_WRONG = "RequestExpired"
DENIED = frozenset(
    {
        "OptInRequired",
        "UnauthorizedOperation",
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "Blocked",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "ExpiredTokenException",
        "UnrecognizedClientException",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        CLOCK_WRONG,
    }
)
REGION_ONLY = frozenset({"OptInRequired"})
THROTTLED = frozenset(
    {
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "EC2ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "SlowDown",
        "BandwidthLimitExceeded",
        "ResourceCountExceeded",
    }
)
TRANSIENT = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "ServerInternal",
        "ServiceUnavailable",
        "Unavailable",
        "RequestTimeout",
        "IncorrectInstanceState",
    }
)
WRONG = ("Invalid", "Missing", "Malformed", "Validation")  # how codes of wrong requests begin
MISMATCH = "IdempotentParameterMismatch"
NO_SUCH_INSTANCE = "InvalidInstanceID.NotFound"
NO_SUCH_TEMPLATE = frozenset(
    {"InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateId.NotFound"}
)
_PROFILE_IS_NEW = "Invalid IAM Instance Profile"
_PLACEMENT = "spread placement group"
_TYPE_WORDS = ("InstanceType", "instance type")


def from_call(code: str, message: str, op: str, region: str = "") -> ProviderError:
    """Of a call that is about no pool."""
    text = f"{code}: {message}"
    if code in THROTTLED:
        return Throttled(text, call_scope(CLOUD, op))
    if code in DENIED:
        return _denied(code, text, op, region)
    if code in TRANSIENT or code == NO_SUCH_INSTANCE:
        return Transient(text, call_scope(CLOUD, op))
    if code.startswith(WRONG):
        return Invalid(text, call_scope(CLOUD, op))
    return Transient(text, call_scope(CLOUD, op), UNKNOWN_S)


def from_launch(code: str, message: str, request: LaunchRequest, offer: Offer | None = None) -> ProviderError:
    """Of a launch, or of one pool that a fleet could not take."""
    offer, text = offer or request.offer, f"{code}: {message}"
    pool = Scope(ScopeKind.POOL, offer.pool)
    if code in CAPACITY:
        if _PLACEMENT in message:
            return Invalid(text, Scope(ScopeKind.REQUEST, offer.pool))
        return Capacity(text, pool)
    if code in NOT_OFFERED:
        return Capacity(text, pool, DAY_S)
    if code == NO_ADDRESSES:
        return Capacity(text, Scope(ScopeKind.ZONE, f"{CLOUD}/{offer.region}/{offer.zone}"))
    if code in VCPU_QUOTA:
        return _vcpu_quota(text, offer)
    if code in OTHER_QUOTA:
        return Quota(text, _region(offer.region))
    if code == NO_SPOT_ROLE and offer.market is Market.SPOT:
        return _no_spot_role(text)
    if code == MISMATCH:
        return Invalid(text, Scope(ScopeKind.REQUEST, request.token))
    if code in NO_SUCH_TEMPLATE or _PROFILE_IS_NEW in message:
        return Transient(text, call_scope(CLOUD, "launch"))  # made a moment ago, and not known everywhere yet
    if code in THROTTLED | DENIED | TRANSIENT:
        return from_call(code, message, "launch", offer.region)
    if code.startswith(WRONG):
        return _invalid(text, message, offer)
    return Capacity(text, pool, UNKNOWN_S)


def _region(name: str) -> Scope:
    return Scope(ScopeKind.REGION, f"{CLOUD}/{name}")


def _denied(code: str, text: str, op: str, region: str) -> ProviderError:
    if code == CLOCK_WRONG:
        return Denied(f"{text}: set this machine's clock right", Scope(ScopeKind.ACCOUNT, CLOUD))
    if code in REGION_ONLY and region:
        return Denied(f"{text}: enable {region} for this account", _region(region))
    if op == "instances" and region:  # the listing of one region says nothing of the others
        return Denied(text, _region(region))
    return Denied(text, Scope(ScopeKind.ACCOUNT, CLOUD))


def _vcpu_quota(text: str, offer: Offer) -> ProviderError:
    quota = quota_of(offer.instance_type, offer.market)
    if quota is None:
        return Quota(text, Scope(ScopeKind.FAMILY, _family(offer, offer.instance_type)))
    where = (
        f"https://{offer.region}.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/{quota.code}"
    )
    return Quota(
        f"the quota {quota.name!r} ({quota.code}) in {offer.region} is used up: "
        f"ask for more at {where} ({text})",
        Scope(ScopeKind.FAMILY, _family(offer, quota.types)),
    )


def _family(offer: Offer, types: str) -> str:
    return f"{CLOUD}/{offer.region}/*/{types}/{offer.market.value}"


def _no_spot_role(text: str) -> ProviderError:
    return Denied(
        "this account has no role for spot machines yet: run "
        f"`aws iam create-service-linked-role --aws-service-name spot.amazonaws.com` once ({text})",
        Scope(ScopeKind.FAMILY, f"{CLOUD}/*/*/*/{Market.SPOT.value}"),
    )


def _invalid(text: str, message: str, offer: Offer) -> ProviderError:
    if any(word in message for word in _TYPE_WORDS) or offer.instance_type in message:
        return Invalid(f"{text} ({offer.instance_type})", Scope(ScopeKind.POOL, offer.pool))
    return Invalid(text, _region(offer.region))
