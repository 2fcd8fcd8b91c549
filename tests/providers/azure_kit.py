"""What tests of Azure share: the small server, a provider on it, and requests for it."""

from __future__ import annotations

from tests.servers.arm import Arm

from outlast_orchestrator.core.types import LaunchRequest, Offer, Want
from outlast_orchestrator.core.view import Seen
from outlast_orchestrator.providers.azure.provider import AzureProvider
from outlast_orchestrator.providers.marks import name_of

A100 = Want(gpus=("A100-80GB:1",))
HERE, THERE = "eastus", "westeurope"


def request(server: Arm, offer: Offer, launch: str = "launch-1") -> LaunchRequest:
    token = f"{launch}-1"
    return LaunchRequest(token, launch, server.owner, "job-1", offer, 120, 3600.0, user_data="#!/bin/sh\n")


def launched(server: Arm, provider: AzureProvider, launch: str = "launch-1") -> tuple[LaunchRequest, str]:
    """And the machine's name."""
    wanted = request(server, provider.offers(A100)[0], launch)
    provider.launch(wanted)
    return wanted, name_of(wanted)


def listed(provider: AzureProvider, region: str = HERE) -> list[Seen]:
    listing = provider.instances(region)
    assert listing.problem == ""
    return list(listing.instances)


def only(provider: AzureProvider, region: str = HERE) -> Seen:
    (seen,) = listed(provider, region)
    return seen
