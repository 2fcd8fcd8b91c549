"""Azure virtual machines as a provider."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from azure.core import MatchConditions
from azure.mgmt.core.tools import parse_resource_id

from outlast_orchestrator.core.errors import (
    Capacity,
    Invalid,
    ProviderError,
    Scope,
    ScopeKind,
    Transient,
    call_scope,
)
from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.core.types import Instance, LaunchRequest, Offer, Want
from outlast_orchestrator.core.view import RegionListing
from outlast_orchestrator.providers.azure.calls import NETWORK, Calls, Refused
from outlast_orchestrator.providers.azure.config import CLOUD, IMAGE, AzureConfig, Region
from outlast_orchestrator.providers.azure.errors import (
    UNKNOWN_S,
    Refusal,
    from_call,
    from_failure,
    from_launch,
)
from outlast_orchestrator.providers.azure.listing import FAILED
from outlast_orchestrator.providers.azure.prices import RetailPrices
from outlast_orchestrator.providers.azure.quotas import too_small
from outlast_orchestrator.providers.azure.request import machine_of
from outlast_orchestrator.providers.azure.snapshot import Snapshots
from outlast_orchestrator.providers.machines import read_machines, usable, zoned_offers
from outlast_orchestrator.providers.marks import REQUEST, digest_of, name_of

# A lack of machines shows within a minute; what is not decided then is left to the listing.
WAIT_S = 90.0
_FAILURE = "ProvisioningState/failed/"

NO_IDENTITY = "providers.azure.identity: name one that may use the bucket: its machines can't without"


class AzureProvider:
    """Implements `core.ports.Provider`. A machine's id is its name: that is what Azure finds it by."""

    name = CLOUD
    launch_lag_s = 300.0  # how long a fresh machine may be missing from the group's list
    token_life_s = 86_400.0  # the name follows from the token, and is taken as long as the machine is there
    notice_s = 30.0  # at best. https://learn.microsoft.com/azure/virtual-machines/spot-vms
    first_hour_free = False

    def __init__(
        self,
        config: AzureConfig,
        clock: Clock,
        owner: str,
        login_key: str,
        credentials: Any = None,
        *,
        by_role: bool = False,
    ) -> None:
        """`login_key`: this server's, a line of `authorized_keys`. `credentials`: a token credential of the
        SDK; None: as it finds them. `by_role`: its machines reach the bucket by their own identity."""
        self._by_role = by_role
        self._config = config
        self._login_key = login_key
        self._calls = Calls(config, credentials)
        self._snapshots = Snapshots(self._calls, config, clock, owner)
        self._prices = RetailPrices(self._calls, config, clock)
        self._machines = read_machines(__package__)

    def offers(self, want: Want) -> list[Offer]:
        """At the list price of now in each region, or at the shipped one where that can't be had."""
        if want.clouds and CLOUD not in want.clouds:
            return []
        types, found = self._config.instance_types, []
        machines = usable(self._machines, want, types)
        for name, region in self._config.regions.items():
            if machines and (not want.regions or name in want.regions):
                there = self._prices.applied(name, machines)
                found += zoned_offers(there, want, CLOUD, {name: region.zones}, types)
        return found

    def launch(self, request: LaunchRequest) -> None:
        """Creates and never changes: a machine of that name is this very request's, or another one's."""
        body = machine_of(request, self._config, self._region(request), self._login_key)
        where, name = self._config.resource_group, name_of(request)
        try:
            operation = self._calls.run(
                "launch",
                lambda sdk: sdk.virtual_machines.begin_create_or_update(
                    where, name, body, match_condition=MatchConditions.IfMissing
                ),
            )
        except Refused as error:
            self._look_behind(error.refusal, request)
            return
        finally:
            self._snapshots.expect(name)
        self._await(operation, request)

    def regions(self) -> list[str]:
        return sorted(self._config.regions)

    def instances(self, region: str) -> RegionListing:
        return self._snapshots.listing(region)

    def terminate(self, instance: Instance) -> None:
        """The machine with all that is deleted with it, and what is known to be left of one."""
        name = instance.id or name_of(instance.request)
        self._delete(name)
        self._snapshots.surroundings.delete(name)

    def check(self) -> list[str]:
        if not self._config.regions:
            return ["providers.azure.regions: name at least one region and its subnet"]
        where = self._config.resource_group
        try:
            self._calls.all("check", lambda sdk: sdk.virtual_machines.list(where))
        except ProviderError as error:
            return [f"{where}: {error}"]
        problems = [NO_IDENTITY] if self._by_role and not self._config.identity else []
        problems += _image_problems(self._config.image) + [
            problem
            for name, region in self._config.regions.items()
            for problem in self._check_region(name, region)
        ]
        try:
            self._snapshots.ends()
        except ProviderError as error:
            problems.append(f"who ended a machine can't be told without the activity log: {error}")
        return problems

    def _region(self, request: LaunchRequest) -> Region:
        region = self._config.regions.get(request.offer.region)
        if region is None or request.offer.zone not in region.zones:
            where = f"{request.offer.region}, zone {request.offer.zone}"
            raise Invalid(
                f"providers.azure.regions does not name {where}", Scope(ScopeKind.POOL, request.offer.pool)
            )
        return region

    def _look_behind(self, refused: Refusal, request: LaunchRequest) -> None:
        """Returns if the machine is there all the same: its name is taken, by this very request whose answer
        was lost; or the repeat was refused for what the first one got, a quota for instance. A refused call
        may also leave a machine that failed."""
        name = name_of(request)
        found = self._calls.machine("launch", name)
        if found is None and refused.exists:
            raise Transient(f"{name} was there, and is not", call_scope(CLOUD, "launch"))
        if found is None:
            raise from_launch(refused, request)
        if (found.get("tags") or {}).get(REQUEST) != digest_of(request):
            raise Invalid(
                f"{name} was asked for with other parameters before",
                Scope(ScopeKind.REQUEST, request.token),
            )
        self._refuse_failed(found, _failure_of(found) if refused.exists else refused, request)

    def _await(self, operation: Any, request: LaunchRequest) -> None:
        """Until the operation is over, or it is time to leave the rest to the listing. Nothing of it is kept:
        after a restart the same token finds the machine, or its failure, by its name."""
        try:
            self._calls.run("launch", lambda _: operation.wait(WAIT_S))
        except Refused as error:
            if error.refusal.status:  # to the question, not of the operation: it may still go well
                raise from_call(error.refusal, "launch") from error
            self._settle(error.refusal, request)

    def _settle(self, refused: Refusal, request: LaunchRequest) -> None:
        """The operation seems to have failed: nothing is deleted unless the machine says so as well."""
        found = self._calls.machine("launch", name_of(request))
        if found is None:
            raise from_failure(refused, request)
        self._refuse_failed(found, refused, request)
        raise Transient(f"the machine is there, but: {refused.text}", call_scope(CLOUD, "launch"))

    def _refuse_failed(self, found: dict[str, Any], refused: Refusal, request: LaunchRequest) -> None:
        state = found.get("properties", {}).get("provisioningState", "")
        if state == "Deleting":
            pool = Scope(ScopeKind.POOL, request.offer.pool)
            raise Capacity(f"{found['name']} was made, and is being deleted", pool, UNKNOWN_S)
        if state in FAILED:
            self._fail(refused, request)

    def _fail(self, refused: Refusal, request: LaunchRequest) -> None:
        """A machine that failed is there in part: it is deleted at once, and if that can't be done, it is in
        the listing without a record, where the sweep finds it."""
        with suppress(ProviderError):
            self._delete(name_of(request))
        raise from_failure(refused, request)

    def _delete(self, name: str) -> None:
        where = self._config.resource_group
        try:
            self._calls.run(
                "terminate", lambda sdk: sdk.virtual_machines.begin_delete(where, name, polling=False)
            )
        except Refused as error:
            if not error.refusal.absent:
                raise from_call(error.refusal, "terminate") from error

    def _check_region(self, name: str, region: Region) -> list[str]:
        key = f"providers.azure.regions.{name}"
        subnet, group = parse_resource_id(region.subnet), parse_resource_id(region.security_group)
        if subnet.get("child_type_1") != "subnets":
            return [f"{key}.subnet: give the subnet's resource id: az network vnet subnet show --query id"]
        if region.security_group and group.get("type") != "networkSecurityGroups":
            return [f"{key}.security_group: give its resource id: az network nsg show --query id"]
        try:
            self._calls.ask(
                "check",
                lambda sdk: sdk.subnets.get(subnet["resource_group"], subnet["name"], subnet["child_name_1"]),
                NETWORK,
            )
            if region.security_group:
                self._calls.ask(
                    "check",
                    lambda sdk: sdk.network_security_groups.get(group["resource_group"], group["name"]),
                    NETWORK,
                )
            usages = self._calls.all("check", lambda sdk: sdk.usage.list(name))
        except ProviderError as error:
            return [f"{key}: {error}"]
        return too_small(name, usages, usable(self._machines, Want(), self._config.instance_types))


def _image_problems(image: str) -> list[str]:
    parts = image.split(":")
    if image.startswith("/") or (len(parts) == len(IMAGE.split(":")) and all(parts)):
        return []
    return [f"providers.azure.image: {image!r} is neither publisher:offer:sku:version nor a resource id"]


def _failure_of(machine: dict[str, Any]) -> Refusal:
    """As the view of a machine has it, long after the operation that failed was forgotten."""
    view = machine.get("properties", {}).get("instanceView") or {}
    for status in view.get("statuses", ()):
        code = str(status.get("code", ""))
        if code.startswith(_FAILURE):
            return Refusal((code.removeprefix(_FAILURE),), str(status.get("message", "")))
    return Refusal((), "it failed, and Azure does not say why")
