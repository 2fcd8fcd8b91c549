"""Amazon EC2 as a provider."""

from __future__ import annotations

import threading
from typing import Any

from outlast_orchestrator.core.errors import Invalid, ProviderError, Scope, ScopeKind
from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.core.types import Instance, LaunchRequest, Market, Offer, Want
from outlast_orchestrator.core.view import RegionListing
from outlast_orchestrator.providers.aws.answer import nothing_started, refused
from outlast_orchestrator.providers.aws.calls import Calls, Refused
from outlast_orchestrator.providers.aws.config import CLOUD, AwsConfig, Region
from outlast_orchestrator.providers.aws.errors import NO_SUCH_INSTANCE, from_call
from outlast_orchestrator.providers.aws.listing import is_unexplained, seen_of
from outlast_orchestrator.providers.aws.offers import offers_in
from outlast_orchestrator.providers.aws.prices import SpotPrices
from outlast_orchestrator.providers.aws.request import LAUNCH, OWNER, fleet_of, template_of
from outlast_orchestrator.providers.machines import read_machines, usable

TEMPLATE_IS_THERE = "InvalidLaunchTemplateName.AlreadyExistsException"
STATUSES_FRESH_S = 10.0  # less than the time between two looks at a region where all is well
NO_ROLE = "instance_profile: name a role that may use the bucket: its machines can't without"
PAGE = 1000


class AwsProvider:
    """Implements `core.ports.Provider`."""

    name = CLOUD
    # How long a fresh instance may be missing from a listing, and how long EC2 surely knows a token.
    # https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
    launch_lag_s = 300.0
    token_life_s = 600.0
    notice_s = 120.0
    first_hour_free = True  # https://aws.amazon.com/ec2/spot/pricing/: if EC2 ends a spot machine in it

    def __init__(
        self, config: AwsConfig, clock: Clock, owner: str, session: Any = None, *, by_role: bool = False
    ) -> None:
        """`session`: of boto3, with the credentials to use; None: as the SDK finds them.
        `by_role`: its machines reach the bucket by a role of their own."""
        self._by_role = by_role
        self._config = config
        self._clock = clock
        self._owner = owner
        self._calls = Calls(config, session)
        self._prices = SpotPrices(self._calls, clock)
        self._machines = read_machines(__package__)
        self._lock = threading.Lock()
        self._statuses: dict[str, tuple[float, dict[str, dict[str, Any]]]] = {}  # by region: read when
        self._templates: set[tuple[str, str]] = set()  # region and name, of those known to be there

    def offers(self, want: Want) -> list[Offer]:
        if want.clouds and CLOUD not in want.clouds:
            return []
        machines = usable(self._machines, want, self._config.instance_types)
        found = []
        for name, region in self._config.regions.items():
            if not machines or (want.regions and name not in want.regions):
                continue
            spot = Market.SPOT in want.markets
            prices = self._prices.of(name, [m.instance_type for m in machines]) if spot else None
            found += offers_in(name, sorted(region.subnets), machines, want, prices)
        return found

    def launch(self, request: LaunchRequest) -> None:
        name = request.offer.region
        region = self._region(request)
        try:
            template = self._template(request, region)
            arguments = fleet_of(request, region, template)
            answer = self._calls.run("launch", name, lambda ec2: ec2.create_fleet(**arguments))
        except Refused as error:
            self._forget_templates(name)
            raise refused(error.code, error.message, request) from error
        if not any(one.get("InstanceIds") for one in answer.get("Instances", ())):
            raise nothing_started(answer, request)

    def regions(self) -> list[str]:
        return sorted(self._config.regions)

    def instances(self, region: str) -> RegionListing:
        """Two calls at most, for all jobs: the machines, and what the market says of their requests."""
        begun_s = self._clock.monotonic_s()
        ours = [{"Name": f"tag:{OWNER}", "Values": [self._owner]}]
        try:
            found = self._calls.ask("instances", region, lambda ec2: _instances(ec2, ours))
            statuses = self._statuses_of(region, found, ours)
        except ProviderError as error:
            return RegionListing(CLOUD, region, begun_s, problem=str(error))
        seen = tuple(seen_of(one, statuses, region) for one in found)
        return RegionListing(CLOUD, region, begun_s, seen)

    def terminate(self, instance: Instance) -> None:
        """One id a call: a wrong one among several fails them all. Without one, by the launch's tag."""
        region = instance.offer.region
        for one in [instance.id] if instance.id else self._ids(region, instance.launch_id):
            self._terminate(region, one)

    def check(self) -> list[str]:
        problems = [] if self._config.regions else ["providers.aws.regions: name at least one region"]
        for name, region in self._config.regions.items():
            problems += [f"{name}: {problem}" for problem in self._check_region(name, region)]
        return problems

    def _statuses_of(self, region: str, found: list[dict[str, Any]], ours: Any) -> dict[str, dict[str, Any]]:
        """Looks that follow one another fast, while a machine is replaced, share a reading: a machine says
        itself why it ended. They are read for one that does not, and for the market's early word."""
        spot = [one for one in found if one.get("InstanceLifecycle") == "spot"]
        if not spot:
            return {}
        now_s = self._clock.monotonic_s()
        read_s, statuses = self._statuses.get(region, (float("-inf"), {}))
        if now_s - read_s >= STATUSES_FRESH_S or any(is_unexplained(one) for one in spot):
            statuses = self._calls.ask("instances", region, lambda ec2: _statuses(ec2, ours))
            self._statuses[region] = (now_s, statuses)
        return statuses

    def _terminate(self, region: str, one: str) -> None:
        try:
            self._calls.run("terminate", region, lambda ec2: ec2.terminate_instances(InstanceIds=[one]))
        except Refused as error:
            if error.code != NO_SUCH_INSTANCE:
                raise from_call(error.code, error.message, "terminate", region) from error

    def _check_region(self, name: str, region: Region) -> list[str]:
        problems = [NO_ROLE] if self._by_role and not region.instance_profile else []
        try:
            return problems + self._calls.ask("check", name, lambda ec2: _network_of(ec2, region))
        except ProviderError as error:
            return [*problems, str(error)]

    def _region(self, request: LaunchRequest) -> Region:
        region = self._config.regions.get(request.offer.region)
        if region is None or request.offer.zone not in region.subnets:
            where = f"{request.offer.region}, zone {request.offer.zone}"
            raise Invalid(
                f"providers.aws.regions names no subnet in {where}", Scope(ScopeKind.POOL, request.offer.pool)
            )
        return region

    def _template(self, request: LaunchRequest, region: Region) -> str:
        """Its name; made when it may not be there. Raises Refused."""
        where = request.offer.region
        name, data = template_of(request, region)
        with self._lock:
            if (where, name) in self._templates:
                return name
        tags = [{"ResourceType": "launch-template", "Tags": [{"Key": OWNER, "Value": request.owner}]}]
        try:
            self._calls.run(
                "template",
                where,
                lambda ec2: ec2.create_launch_template(
                    LaunchTemplateName=name, LaunchTemplateData=data, TagSpecifications=tags
                ),
            )
        except Refused as error:
            if error.code != TEMPLATE_IS_THERE:
                raise
        with self._lock:
            self._templates.add((where, name))
        return name

    def _forget_templates(self, region: str) -> None:
        """A person may have deleted one: the next launch makes sure again."""
        with self._lock:
            self._templates = {key for key in self._templates if key[0] != region}

    def _ids(self, region: str, launch_id: str) -> list[str]:
        marked = [
            {"Name": f"tag:{OWNER}", "Values": [self._owner]},
            {"Name": f"tag:{LAUNCH}", "Values": [launch_id]},
        ]
        found = self._calls.ask("instances", region, lambda ec2: _instances(ec2, marked))
        return [one["InstanceId"] for one in found]


def _instances(ec2: Any, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In all states: an ended one stays listed for about an hour, with the reason."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=filters, PaginationConfig={"PageSize": PAGE}
    )
    return [one for page in pages for group in page["Reservations"] for one in group["Instances"]]


def _statuses(ec2: Any, filters: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of spot requests, by the id of their machine."""
    pages = ec2.get_paginator("describe_spot_instance_requests").paginate(
        Filters=filters, PaginationConfig={"PageSize": PAGE}
    )
    found = [one for page in pages for one in page["SpotInstanceRequests"]]
    return {one["InstanceId"]: one.get("Status", {}) for one in found if one.get("InstanceId")}


def _network_of(ec2: Any, region: Region) -> list[str]:
    """What the region's settings name, and EC2 does not know."""
    subnets = {one["SubnetId"]: one["AvailabilityZone"] for one in _pages(ec2, "describe_subnets", "Subnets")}
    groups = {one["GroupId"] for one in _pages(ec2, "describe_security_groups", "SecurityGroups")}
    problems = [
        f"the subnet {subnet} is in {subnets.get(subnet, 'no')} zone, not in {zone}: mend providers.aws"
        for zone, subnet in region.subnets.items()
        if subnets.get(subnet) != zone
    ]
    missing = [group for group in region.security_groups if group not in groups]
    return problems + [f"there is no security group {group}: mend providers.aws" for group in missing]


def _pages(ec2: Any, op: str, key: str) -> list[dict[str, Any]]:
    return [one for page in ec2.get_paginator(op).paginate() for one in page[key]]
