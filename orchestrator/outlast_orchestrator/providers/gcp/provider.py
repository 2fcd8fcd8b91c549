"""Google Compute Engine as a provider."""

from __future__ import annotations

from typing import Any

from google.cloud import compute_v1

from outlast_orchestrator.core.errors import Invalid, ProviderError, Scope, ScopeKind
from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.core.types import Instance, LaunchRequest, Offer, Want
from outlast_orchestrator.core.view import RegionListing
from outlast_orchestrator.providers.gcp.calls import Calls, Refused
from outlast_orchestrator.providers.gcp.config import CLOUD, GcpConfig, Region
from outlast_orchestrator.providers.gcp.errors import EXISTS, from_call, from_launch
from outlast_orchestrator.providers.gcp.names import request_id_of
from outlast_orchestrator.providers.gcp.request import NOTICE_S, instance_of
from outlast_orchestrator.providers.gcp.snapshot import Snapshots
from outlast_orchestrator.providers.machines import read_machines, zoned_offers
from outlast_orchestrator.providers.marks import REQUEST, digest_of, name_of

INSTANCES, OPERATIONS = "InstancesClient", "ZoneOperationsClient"
# A lack of machines shows within half a minute; what is not decided then is left to the listing.
WAIT_S, ONE_WAIT_S = 90.0, 40.0
NO_ACCOUNT = "providers.gcp.service_account: name one that may use the bucket: its machines can't without"
NOTICE_WORD = "preemptionNoticeDuration"


class GcpProvider:
    """Implements `core.ports.Provider`."""

    name = CLOUD
    launch_lag_s = 120.0  # how long a fresh instance may be missing from the list of all zones
    notice_s = 30.0  # 120 are asked for, and not every project gets them
    first_hour_free = False
    token_life_s = 86_400.0  # the name follows from the token, and is taken as long as the machine is there

    def __init__(
        self, config: GcpConfig, clock: Clock, owner: str, credentials: Any = None, *, by_role: bool = False
    ) -> None:
        """`credentials`: of google.auth; None: as the SDK finds them.
        `by_role`: its machines reach the bucket by an account of their own."""
        self._by_role = by_role
        self._config = config
        self._clock = clock
        self._calls = Calls(config, credentials)
        self._snapshots = Snapshots(self._calls, config, clock, owner)
        self._machines = read_machines(__package__)
        self._notice_s = NOTICE_S

    def offers(self, want: Want) -> list[Offer]:
        zones = {name: region.zones for name, region in self._config.regions.items()}
        return zoned_offers(self._machines, want, CLOUD, zones, self._config.instance_types)

    def launch(self, request: LaunchRequest) -> None:
        region = self._region(request)
        try:
            operation = self._insert(request, region, self._notice_s)
        except Refused as error:
            if error.code in EXISTS or error.status == 409:
                self._compare(request)
                return
            if self._notice_s and NOTICE_WORD in error.message:
                # The wish for a longer notice is not open to every project: without it there are 30 seconds.
                self._notice_s = 0
                self.launch(request)
                return
            raise from_launch(error.code, error.message, error.status, request) from error
        self._await(operation, request)

    def regions(self) -> list[str]:
        return sorted(self._config.regions)

    def instances(self, region: str) -> RegionListing:
        return self._snapshots.listing(region)

    def terminate(self, instance: Instance) -> None:
        """By its number, or by the name that its launch would have."""
        request = instance.request
        wanted = compute_v1.DeleteInstanceRequest(
            project=self._config.project,
            zone=request.offer.zone,
            instance=instance.id or name_of(request),
        )
        try:
            self._calls.run("terminate", INSTANCES, "delete_unary", wanted)
        except Refused as error:
            if error.status != 404:
                raise from_call(error.code, error.message, error.status, "terminate") from error

    def check(self) -> list[str]:
        if not self._config.regions:
            return ["providers.gcp.regions: name at least one region and its zones"]
        problems = [NO_ACCOUNT] if self._by_role and not self._config.service_account else []
        wanted = compute_v1.ListZonesRequest(project=self._config.project)
        try:
            found = self._calls.all(
                "check",
                lambda: {zone.name for zone in self._calls.run("check", "ZonesClient", "list", wanted)},
            )
        except ProviderError as error:
            return [*problems, f"{self._config.project}: {error}"]
        return problems + [
            f"there is no zone {zone}: mend providers.gcp.regions.{name}"
            for name, region in self._config.regions.items()
            for zone in region.zones
            if zone not in found
        ]

    def _region(self, request: LaunchRequest) -> Region:
        region = self._config.regions.get(request.offer.region)
        if region is None or request.offer.zone not in region.zones:
            raise Invalid(
                f"providers.gcp.regions does not name the zone {request.offer.zone}",
                Scope(ScopeKind.POOL, request.offer.pool),
            )
        return region

    def _insert(self, request: LaunchRequest, region: Region, notice_s: int) -> Any:
        wanted = compute_v1.InsertInstanceRequest(
            project=self._config.project,
            zone=request.offer.zone,
            request_id=request_id_of(request, notice_s),
            instance_resource=instance_of(request, self._config, region, notice_s),
        )
        return self._calls.run("launch", INSTANCES, "insert_unary", wanted)

    def _compare(self, request: LaunchRequest) -> None:
        """The name is taken: by this very request, whose answer was lost, or by one with other parameters."""
        wanted = compute_v1.GetInstanceRequest(
            project=self._config.project, zone=request.offer.zone, instance=name_of(request)
        )
        found = self._calls.ask("launch", INSTANCES, "get", wanted)
        if found.labels.get(REQUEST) != digest_of(request):
            raise Invalid(
                f"{found.name} was asked for with other parameters before",
                Scope(ScopeKind.REQUEST, request.token),
            )

    def _await(self, operation: Any, request: LaunchRequest) -> None:
        """Until the operation is over, or it is time to leave the rest to the listing."""
        end_s = self._clock.monotonic_s() + WAIT_S
        wanted = compute_v1.WaitZoneOperationRequest(
            project=self._config.project, zone=request.offer.zone, operation=operation.name
        )
        while operation.status.name != "DONE" and self._clock.monotonic_s() < end_s:
            operation = self._calls.ask("launch", OPERATIONS, "wait", wanted, ONE_WAIT_S)
        for error in operation.error.errors:
            if error.code in EXISTS:
                self._compare(request)
                return
            raise from_launch(error.code, error.message, 0, request)
