"""Finds machines with our tag that belong to no job, over all clouds, and ends those that a person names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from outlast_orchestrator.controller.sweep import Adoption, adopt, find_orphans
from outlast_orchestrator.core.errors import ProviderError
from outlast_orchestrator.core.ports import Clock, Provider, Store
from outlast_orchestrator.core.view import Ended, Orphan, Strays

TAKEN_OVER = "its job is known here: the server takes it over, or ends it, by itself"
NOT_LISTED = "no such machine is listed now without a job"
log = structlog.get_logger("outlast.controller")


class StrayFinder:
    """Slow: each call lists all regions."""

    def __init__(
        self, providers: Mapping[str, Provider], store: Store, clock: Clock, adoption: Adoption
    ) -> None:
        self._providers = providers
        self._store = store
        self._clock = clock
        self._adoption = adoption

    def find(self) -> Strays:
        """Lists first, then reads the store: what was launched in between has its intent there."""
        listings = [
            provider.instances(region)
            for provider in self._providers.values()
            for region in provider.regions()
        ]
        listed = [seen for one in listings if not one.problem for seen in one.instances]
        records = {record.launch_id: record for record in self._store.instances()}
        jobs = {job.id: job for job in self._store.jobs()}
        found = find_orphans(listed, records, jobs, self._store.owner())
        unlisted = [f"{one.cloud}/{one.region}: {one.problem}" for one in listings if one.problem]
        return Strays(tuple(found), tuple(unlisted))

    def end(self, ids: Sequence[str], by: str) -> list[Ended]:
        """Those of `ids` that are strays still."""
        there = {orphan.seen.id: orphan for orphan in self.find().found}
        return [Ended(one, self._end(there.get(one), by)) for one in dict.fromkeys(ids)]

    def _end(self, orphan: Orphan | None, by: str) -> str:
        if orphan is None:
            return NOT_LISTED
        if orphan.job_known and not orphan.twin:
            return TAKEN_OVER
        seen = orphan.seen
        log.info("orphan.terminate", cloud=seen.cloud, region=seen.region, id=seen.id, job=seen.job, by=by)
        try:
            self._providers[seen.cloud].terminate(adopt(seen, None, self._adoption, self._clock.wall_s()))
        except ProviderError as error:
            return str(error)
        return ""
