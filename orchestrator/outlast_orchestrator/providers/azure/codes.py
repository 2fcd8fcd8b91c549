"""The codes with which Azure refuses, by what they mean to us. Pure.

https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors
"""

from __future__ import annotations

NOT_AVAILABLE, RESERVED = "SkuNotAvailable", "NicReservedForAnotherVm"
CAPACITY = frozenset(
    {
        NOT_AVAILABLE,
        "AllocationFailed",
        "ZonalAllocationFailed",
        "OverconstrainedAllocationRequest",
        "OverconstrainedZonalAllocationRequest",
        "SpotPriceGreaterThanProvidedMaxPrice",
    }
)
QUOTA = frozenset(
    {"QuotaExceeded", "ErrCode_InsufficientVCPUQuota", "PublicIPCountLimitReached", "ResourceQuotaExceeded"}
)
THROTTLED = frozenset({"TooManyRequests", "SubscriptionRequestsThrottled"})
POLICY = frozenset({"RequestDisallowedByPolicy", "RequestDisallowedByAzure"})  # often of one region
DENIED = POLICY | {
    "ReadOnlyDisabledSubscription",
    "SubscriptionNotFound",
    "InvalidSubscriptionId",
    "SubscriptionNotRegistered",
    "MissingSubscriptionRegistration",
    "AuthorizationFailed",
    "LinkedAuthorizationFailed",
    "InvalidAuthenticationToken",
    "ExpiredAuthenticationToken",
}
NO_SPOT = frozenset({"AzureSpotFeatureNotEnabledForSubscription"})
NO_SPOT_SIZE = frozenset({"AzureSpotIsNotSupportedForThisVMSize", "VMPriorityCannotBeApplied"})
INVALID = (
    NO_SPOT
    | NO_SPOT_SIZE
    | {
        "AzureSpotVMNotSupportedInAvailabilitySet",
        "EvictionPolicyCanBeSetOnlyOnAzureSpotVirtualMachines",
        "MaxPriceValueInvalid",
        "BadRequest",
        "InvalidTemplateDeployment",
        "InvalidParameter",
        "InvalidResourceReference",
        "ImageNotFound",
        "PlatformImageNotFound",
        "MarketplacePurchaseEligibilityFailed",
    }
)
NOT_HERE = frozenset({"ResourceNotFound", "NotFound", "ResourceGroupNotFound"})
EXISTS = frozenset({"PreconditionFailed", "PropertyChangeNotAllowed"})
TRANSIENT = frozenset(
    {
        RESERVED,
        "RetryableError",
        "InternalServerError",
        "InternalExecutionError",
        "NetworkingInternalOperationError",
        "ServiceUnavailable",
        "OperationTimedOut",
        "GatewayTimeout",
        "OSProvisioningTimedOut",
        "OSProvisioningInternalError",
        "OSProvisioningClientError",
        "AnotherOperationInProgress",
        "RetryableErrorDueToAnotherOperation",
        "OperationPreempted",
        "PrincipalNotFound",  # an identity that is fresh, and not known everywhere yet
        "Conflict",
    }
)
# These say little: a code inside says what it is.
OUTER = frozenset({"Conflict", "BadRequest", "InvalidTemplateDeployment"})
_CONCURRENT = "Concurrent"  # how several codes begin that mean: something else is being done with it
_KNOWN = CAPACITY | DENIED | INVALID | NOT_HERE | TRANSIENT


def is_transient(code: str) -> bool:
    return code in TRANSIENT or code.startswith(_CONCURRENT)


def is_known(code: str) -> bool:
    """Of those that make a launch's refusal one of a certain kind."""
    return code in _KNOWN or is_transient(code)
