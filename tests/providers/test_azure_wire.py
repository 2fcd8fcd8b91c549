"""Azure by its real SDKs over a socket, beyond the contract: what is sent, and what is told of settings."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from tests.providers.azure_kit import A100, HERE, THERE, launched, listed, only, request
from tests.servers.arm import FIREWALL, IDENTITY, LOGIN_KEY, SUBNET, Arm, arm
from tests.servers.arm_machines import MACHINES

from outlast_orchestrator.core.errors import Denied, Invalid, Throttled
from outlast_orchestrator.core.types import Market
from outlast_orchestrator.providers.azure.config import REGIONAL, Region
from outlast_orchestrator.providers.azure.provider import AzureProvider
from outlast_orchestrator.providers.marks import marks_of


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Arm]:
    with arm(tmp_path) as found:
        yield found


@pytest.fixture
def provider(server: Arm) -> AzureProvider:
    return server.provider()


def made(server: Arm) -> dict[str, Any]:
    (one,) = server.group.machines.values()
    return one


def test_what_a_spot_machine_is_made_of(server: Arm, provider: AzureProvider) -> None:
    wanted, name = launched(server, provider)
    one, inside = made(server), made(server)["properties"]
    assert name.startswith(f"outlast-{server.owner}-launch-1")
    assert (one["location"], one["zones"], one["tags"]) == (HERE, ["1"], marks_of(wanted))
    assert one["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    assert (inside["priority"], inside["evictionPolicy"]) == ("Spot", "Delete")
    assert inside["billingProfile"] == {"maxPrice": -1}
    system = inside["osProfile"]
    assert base64.b64decode(system["customData"]) == b"#!/bin/sh\n"
    assert system["linuxConfiguration"]["disablePasswordAuthentication"] is True
    (key,) = system["linuxConfiguration"]["ssh"]["publicKeys"]
    assert key["keyData"] == LOGIN_KEY
    assert "adminPassword" not in system


def test_all_that_is_made_with_a_machine_is_deleted_with_it(server: Arm, provider: AzureProvider) -> None:
    wanted, _ = launched(server, provider)
    inside = made(server)["properties"]
    (interface,) = inside["networkProfile"]["networkInterfaceConfigurations"]
    (way,) = interface["properties"]["ipConfigurations"]
    public = way["properties"]["publicIPAddressConfiguration"]
    disk = inside["storageProfile"]["osDisk"]
    assert disk["diskSizeGB"] == 120
    for one in (disk, interface["properties"], public["properties"]):
        assert one["deleteOption"] == "Delete"
    for one in (interface, public):
        assert one["tags"] == marks_of(wanted)
    assert way["properties"]["subnet"] == {"id": SUBNET}
    assert interface["properties"]["networkSecurityGroup"] == {"id": FIREWALL}


def test_a_machine_on_demand_is_no_spot_machine(server: Arm, provider: AzureProvider) -> None:
    (offer, *_) = provider.offers(replace(A100, markets=(Market.ON_DEMAND,)))
    provider.launch(request(server, offer))
    inside = made(server)["properties"]
    assert inside["priority"] == "Regular"
    assert not {"evictionPolicy", "billingProfile"} & inside.keys()
    assert only(provider).market is Market.ON_DEMAND


def test_without_zones_azure_chooses_one(server: Arm) -> None:
    config = replace(server.config(), regions={HERE: Region(SUBNET)}, public_address=False)
    provider = server.provider(replace(config, security_type="TrustedLaunch", image="/images/mine"))
    launched(server, provider)
    one = made(server)
    assert "zones" not in one
    assert only(provider).zone == REGIONAL
    assert only(provider).address.startswith("10."), "without a public address the private one"
    assert one["properties"]["securityProfile"]["uefiSettings"]["secureBootEnabled"] is False
    assert one["properties"]["storageProfile"]["imageReference"] == {"id": "/images/mine"}


def test_where_machines_have_a_public_address_that_one_is_told(server: Arm, provider: AzureProvider) -> None:
    launched(server, provider)
    assert only(provider).address.startswith("203.0.113.")
    before = len(server.calls)
    only(provider)
    assert [path for _, path in server.calls[before:]] == [f"/{MACHINES}"], "addresses are asked for once"


def test_a_throttled_call_says_when_to_come_again(server: Arm, provider: AzureProvider) -> None:
    (offer, *_) = provider.offers(A100)
    server.trouble.refusal, server.trouble.retry_after_s = (429, "TooManyRequests", "slow down"), 21
    with pytest.raises(Throttled) as refusal:
        provider.launch(request(server, offer))
    assert refusal.value.retry_after_s == 21.0
    assert sum(method == "PUT" for method, _ in server.calls) == 1, "nothing is tried again behind our back"


def test_a_code_inside_the_message_is_found(server: Arm, provider: AzureProvider) -> None:
    words = '{"error": {"code": "LinkedAuthorizationFailed", "message": "no join/action"}}'
    server.trouble.refusal = (400, "InvalidTemplateDeployment", words)
    with pytest.raises(Denied, match="may not use the subnet"):
        launched(server, provider)


def test_no_provider_is_registered_unasked(server: Arm, provider: AzureProvider) -> None:
    words = "The subscription is not registered to use namespace 'Microsoft.Compute'"
    server.trouble.refusal = (409, "MissingSubscriptionRegistration", words)
    with pytest.raises(Denied, match="az provider register"):
        launched(server, provider)
    assert "POST" not in {method for method, _ in server.calls}


@pytest.mark.parametrize("status", [None, 400])
def test_credentials_that_were_not_found_are_looked_for_again(server: Arm, status: int | None) -> None:
    class Nothing:
        def get_token(self, *_scopes: str, **_more: Any) -> Any:
            error = ClientAuthenticationError("no credential was found")
            error.status_code = status  # of who gives tokens, where it was asked
            raise error

        get_token_info = get_token

    provider = AzureProvider(server.config(), server.clock, server.owner, LOGIN_KEY, Nothing())
    with pytest.raises(Denied, match="no usable credentials") as refusal:
        provider.launch(request(server, provider.offers(A100)[0]))
    assert refusal.value.retry_after_s, "it may have been the network"
    assert "no usable credentials" in provider.instances(HERE).problem


def test_a_zone_that_is_not_configured_is_told(server: Arm, provider: AzureProvider) -> None:
    (offer, *_) = provider.offers(A100)
    with pytest.raises(Invalid, match=r"providers\.azure\.regions.*zone 7"):
        provider.launch(request(server, replace(offer, zone="7")))
    assert not server.group.machines


def test_wrong_settings_are_found_before_the_first_launch(server: Arm) -> None:
    server.spot_quota = 3
    regions = {HERE: Region("subnet-1"), THERE: Region(SUBNET, "nodes")}
    problems = server.provider(replace(server.config(), regions=regions)).check()
    assert [problem.partition(":")[0] for problem in problems] == [
        f"providers.azure.regions.{HERE}.subnet",
        f"providers.azure.regions.{THERE}.security_group",
    ]
    right = {HERE: Region(SUBNET), THERE: Region(SUBNET.replace("/nodes", "/none"))}
    quota, subnet = server.provider(replace(server.config(), regions=right)).check()
    assert "(lowPriorityCores) is 3, and the smallest machine has 24: ask for more at" in quota
    assert THERE in subnet
    assert "ResourceNotFound" in subnet
    (image,) = server.provider(
        replace(server.config(), image="ubuntu", regions={HERE: Region(SUBNET)})
    ).check()[:1]
    assert image.startswith("providers.azure.image: 'ubuntu' is neither")
    assert server.provider(replace(server.config(), resource_group="none")).check()
    assert server.provider(replace(server.config(), regions={})).check()


def test_a_listing_has_all_pages_and_costs_no_more_for_more_machines(
    server: Arm, provider: AzureProvider
) -> None:
    for number in range(5):
        launched(server, provider, f"launch-{number}")
    assert len(listed(provider)) == 5
    before = len(server.calls)
    assert len(listed(provider)) == 5
    assert [path for _, path in server.calls[before:]] == [f"/{MACHINES}"] * 3, "one list, in pages of two"
