"""Translates what the local cloud refuses into the controller's errors, with the scope that each blocks."""

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
from outlast_orchestrator.core.types import LaunchRequest
from outlast_orchestrator.providers.local.client import CallRefused, Unreachable
from outlast_orchestrator.providers.local.config import CLOUD
from outlast_orchestrator.providers.local.refusals import (
    CAPACITY,
    DENIED,
    INVALID,
    QUOTA,
    THROTTLED,
    TOKEN_MISMATCH,
)

AUTH_FAILURE = "AuthFailure"


def from_call(error: CallRefused | Unreachable, op: str) -> ProviderError:
    """Of a call that is about no pool."""
    if isinstance(error, Unreachable):
        return Transient(str(error), call_scope(CLOUD, op))
    if error.code == THROTTLED:
        return Throttled(str(error), call_scope(CLOUD, op))
    if error.code in (DENIED, AUTH_FAILURE):
        return Denied(str(error), Scope(ScopeKind.ACCOUNT, CLOUD))
    if error.code == INVALID:
        return Invalid(str(error), call_scope(CLOUD, op))
    return Transient(str(error), call_scope(CLOUD, op))


def from_launch(error: CallRefused | Unreachable, request: LaunchRequest) -> ProviderError:
    pool = Scope(ScopeKind.POOL, request.offer.pool)
    if isinstance(error, CallRefused):
        if error.code == CAPACITY:
            return Capacity(str(error), pool)
        if error.code == QUOTA:  # counted over all types of the region
            return Quota(str(error), Scope(ScopeKind.FAMILY, f"{CLOUD}/{request.offer.region}"))
        if error.code == TOKEN_MISMATCH:
            return Invalid(str(error), Scope(ScopeKind.REQUEST, request.token))
        if error.code == INVALID:
            return Invalid(str(error), Scope(ScopeKind.REQUEST, request.offer.pool))
    return from_call(error, "launch")
