"""What EC2 says of a launch that brought no machine: one error, with those of other pools beside it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from outlast_orchestrator.core.errors import Capacity, ProviderError, Throttled, Transient
from outlast_orchestrator.core.types import LaunchRequest, Offer
from outlast_orchestrator.providers.aws.errors import from_launch

NO_REASON = "the fleet is empty, and EC2 does not say why"


def refused(code: str, message: str, request: LaunchRequest) -> ProviderError:
    """Of the whole call: it is about the type that the message names, or else about all."""
    named = [offer for offer in request.offers if offer.instance_type in message] or request.offers
    found = [from_launch(code, message, request, offer) for offer in named]
    return _one(found) if isinstance(found[0], Capacity) else found[0]


def nothing_started(answer: Mapping[str, Any], request: LaunchRequest) -> ProviderError:
    """A fleet that could take nothing is a success for EC2, with the reasons beside it, by pool."""
    found = [
        from_launch(one.get("ErrorCode", "Unknown"), one.get("ErrorMessage", ""), request, offer)
        for one in answer.get("Errors", ())
        for offer in _pools(one, request.offers)
    ]
    return _one(found) if found else refused("UnfulfillableCapacity", NO_REASON, request)


def _pools(error: Mapping[str, Any], offers: Sequence[Offer]) -> list[Offer]:
    """Those that the error is about; one that names none is about all."""
    named = error.get("LaunchTemplateAndOverrides", {}).get("Overrides", {})
    kind, zone = named.get("InstanceType"), named.get("AvailabilityZone")
    found = [o for o in offers if kind in (None, o.instance_type) and zone in (None, o.zone)]
    return found or list(offers)


def _one(errors: Sequence[ProviderError]) -> ProviderError:
    """The most telling first: an empty fleet is a fact, so a busy server in one zone makes nothing unsure."""
    by_scope: dict[str, ProviderError] = {}
    for error in errors:
        by_scope.setdefault(error.scope.key, error)
    first, *rest = sorted(by_scope.values(), key=_rank)
    first.also = tuple(rest)
    return first


def _rank(error: ProviderError) -> int:
    if isinstance(error, (Transient, Throttled)):
        return 2
    return 0 if error.tell else 1
