"""One look at all zones of the project at once, shared by all regions: two calls for all jobs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from google.cloud import compute_v1

from outlast_orchestrator.core.errors import ProviderError
from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.providers import marks
from outlast_orchestrator.providers.gcp.calls import Calls
from outlast_orchestrator.providers.gcp.config import CLOUD, GcpConfig
from outlast_orchestrator.providers.gcp.listing import PROOFS, End, end_of, gone_of, seen_of
from outlast_orchestrator.providers.shared_look import Look, SharedLook

PAGE = 500
ENDS_OF_S = 3600.0
EMPTY_ZONE = "NO_RESULTS_ON_PAGE"


class Snapshots:
    def __init__(self, calls: Calls, config: GcpConfig, clock: Clock, owner: str) -> None:
        self._calls = calls
        self._config = config
        self._clock = clock
        self._owner = owner
        self.listing = SharedLook(CLOUD, clock, self._read).listing

    def _read(self, begun_s: float) -> Look:
        look = Look(begun_s)
        try:
            machines, warned = self._calls.all("instances", self._machines)
            ends = self._calls.all("operations", self._ends)
        except ProviderError as error:
            look.problems[""] = str(error)
            return look
        look.problems.update({self._region_of(zone): text for zone, text in warned.items()})
        there = {one.id for one in machines}
        for one in machines:
            region = self._region_of(one.zone.rpartition("/")[2])
            own = [end for end in ends if end.target_id == one.id]
            look.add(seen_of(one, own, region))
        for region in self._config.regions:
            gone = [
                e for e in ends if e.done and e.target_id not in there and self._region_of(e.zone) == region
            ]
            look.seen.setdefault(region, []).extend(gone_of(gone, self._owner, region))
        return look

    def _machines(self) -> tuple[list[Any], Mapping[str, str]]:
        """All of ours, and what is wrong with which zone: a warned zone is unknown, not empty."""
        wanted = compute_v1.AggregatedListInstancesRequest(
            project=self._config.project,
            filter=f"labels.{marks.OWNER}={self._owner}",
            max_results=PAGE,
        )
        machines, warned = [], {}
        for place, found in self._calls.run("instances", "InstancesClient", "aggregated_list", wanted):
            machines += found.instances
            if found.warning.code and found.warning.code != EMPTY_ZONE:
                warned[place.rpartition("/")[2]] = f"{place}: {found.warning.code}: {found.warning.message}"
        return machines, warned

    def _ends(self) -> list[End]:
        since = datetime.fromtimestamp(self._clock.wall_s() - ENDS_OF_S, timezone.utc)
        kinds = " OR ".join(f'(operationType="{kind}")' for kind in PROOFS)
        wanted = compute_v1.AggregatedListGlobalOperationsRequest(
            project=self._config.project,
            filter=f'(insertTime>"{since.isoformat(timespec="seconds")}") AND ({kinds})',
            max_results=PAGE,
        )
        pages = self._calls.run("operations", "GlobalOperationsClient", "aggregated_list", wanted)
        ends = [end_of(operation) for _, found in pages for operation in found.operations]
        return [end for end in ends if end is not None and marks.launch_of(end.name, self._owner)]

    def _region_of(self, zone: str) -> str:
        """The configured region that names the zone; by its name for others."""
        for name, region in self._config.regions.items():
            if zone in region.zones:
                return name
        return zone.rpartition("-")[0]
