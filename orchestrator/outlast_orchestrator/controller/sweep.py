"""Finds machines that carry our owner id and that no record names: none is forgotten, none ended blindly.

The listing comes first and the store is read after it: every launch is an intent in the store before it
is made, so a machine that is listed and still unknown afterwards is one that the store has forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from outlast_orchestrator.controller.lost import LostJobs
from outlast_orchestrator.controller.world import World
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.tokens import hash_token, node_token
from outlast_orchestrator.core.types import (
    Asked,
    Instance,
    InstancePhase,
    Job,
    LaunchRequest,
    Offer,
)
from outlast_orchestrator.core.view import NEVER_S, CloudState, Orphan, Seen

_THERE = (CloudState.PENDING, CloudState.RUNNING, CloudState.OFF)
AGAIN = "its record said that it is gone, but the cloud lists it"
OFF = "it is switched off, and its disk costs money until it is deleted"


@dataclass(frozen=True)
class Sweep:
    """What a look at the listings asks for."""

    rows: tuple[Instance, ...] = ()
    events: tuple[Event, ...] = ()
    terminate: tuple[Instance, ...] = ()  # without a record: never ours to remember
    unread: tuple[str, ...] = ()  # jobs whose pointers must be read before anything unknown is ended


@dataclass(frozen=True)
class Adoption:
    """What a machine's tags don't tell: its node's token follows from the key that made it."""

    key: bytes
    max_life_s: float
    grace_s: float  # an unknown job's machine is watched for so long before it is ended


def find_orphans(
    listed: Sequence[Seen], records: Mapping[str, Instance], jobs: Mapping[str, Job], owner: str
) -> list[Orphan]:
    """Machines of ours that cost something and that no record names as its own."""
    living = [seen for seen in listed if seen.owner == owner and seen.state in _THERE]
    ids = {seen.id for seen in living}
    found: list[Orphan] = []
    for seen in living:
        record = records.get(seen.launch_id)
        known = seen.job in jobs
        if record is None:
            why = "no record names it" if known else "its job is not known here"
            found.append(Orphan(seen, known, why))
        elif record.phase is InstancePhase.GONE:
            gone = OFF if seen.state is CloudState.OFF else "its record says that it is gone"
            found.append(Orphan(seen, known, gone))
        elif record.id and record.id != seen.id and record.id in ids:
            found.append(Orphan(seen, known, f"the same launch has another machine, {record.id}", twin=True))
    return found


class Sweeper:
    """Looks at every new complete listing. Machines of known jobs are adopted at once, so that the job's
    own decision drains or ends them; those of unknown jobs are ended after a time of grace."""

    def __init__(self, world: World, owner: str, adoption: Adoption, lost: LostJobs) -> None:
        self._world = world
        self._lost = lost
        self._adoption = adoption
        self._owner = owner
        self._examined: dict[tuple[str, str], float] = {}
        self._first_seen: dict[str, float] = {}
        self._told: set[str] = set()
        self._watched: dict[str, Seen] = {}  # of unknown jobs, as each region's newest listing has them

    def due(self) -> bool:
        """Whether a listing came that was not examined yet, or what was read for a stranger has come."""
        regions = self._world.regions.items()
        new = any(region.complete_s > self._examined.get(key, NEVER_S) for key, region in regions)
        return new or (bool(self._watched) and self._lost.arrived())

    def look(
        self,
        living: Mapping[str, Instance],
        all_records: Callable[[], Mapping[str, Instance]],
        jobs: Mapping[str, Job],
        now_s: float,
        now_at: float,
        damaged: Collection[str] = (),
    ) -> Sweep:
        """`all_records` reads the whole store, after the listings came in; asked only when it matters.

        `damaged`: jobs whose rows can't all be read. Their machines are nobody's to adopt or to end.
        """
        listed = [seen for seen in self._new_listings() if seen.job not in damaged]
        found = find_orphans(listed, living, jobs, self._owner)
        unknown = {orphan.seen.job for orphan in found if not orphan.job_known}
        events = self._lost.look(unknown, jobs)
        rows: list[Instance] = []
        strangers = {seen.id: seen for seen in self._watched.values() if seen.job not in jobs}
        records = all_records() if found else {}
        for orphan in find_orphans(listed, records, jobs, self._owner) if found else []:
            if orphan.job_known and not orphan.twin:
                record = records.get(orphan.seen.launch_id)
                rows.append(adopt(orphan.seen, record, self._adoption, now_at))
                events.append(_event(Kind.INSTANCE_ADOPTED, orphan))
                continue
            strangers[orphan.seen.id] = orphan.seen
            events += self._tell_once(orphan)
            if not orphan.job_known:
                self._watched[orphan.seen.id] = orphan.seen
        sweep = Sweep(tuple(rows), tuple(events))
        return self._end_strangers(list(strangers.values()), jobs, sweep, now_s, now_at)

    def _new_listings(self) -> list[Seen]:
        listed: list[Seen] = []
        for key, region in self._world.regions.items():
            if region.complete_s > self._examined.get(key, NEVER_S):
                self._examined[key] = region.complete_s
                listed += region.instances
                for seen in [one for one in self._watched.values() if (one.cloud, one.region) == key]:
                    del self._watched[seen.id]
        return listed

    def _tell_once(self, orphan: Orphan) -> list[Event]:
        if orphan.seen.id in self._told:
            return []
        self._told.add(orphan.seen.id)
        return [_event(Kind.ORPHAN_FOUND, orphan)]

    def _end_strangers(
        self, strangers: Sequence[Seen], jobs: Mapping[str, Job], sweep: Sweep, now_s: float, now_at: float
    ) -> Sweep:
        """Only after all pointers were read since this controller started, and that of the machine's own job
        just now: the store may be an old one."""
        if not strangers:
            return sweep
        for seen in strangers:
            self._first_seen.setdefault(seen.id, now_s)
        unread = tuple(job for job in jobs if not self._world.storage(job).pointer_read)
        old = [seen for seen in strangers if now_s - self._first_seen[seen.id] >= self._adoption.grace_s]
        useless = [seen for seen in old if seen.job in jobs or self._lost.may_end(seen)]
        end = () if unread else tuple(adopt(seen, None, self._adoption, now_at) for seen in useless)
        return Sweep(sweep.rows, sweep.events, end, unread)


def adopt(seen: Seen, record: Instance | None, adoption: Adoption, now_at: float) -> Instance:
    """A record for a machine that has none, as far as its tags tell."""
    offer = Offer(
        cloud=seen.cloud,
        region=seen.region,
        zone=seen.zone,
        instance_type=seen.instance_type,
        market=seen.market,
        price_usd_h=seen.price_usd_h,
        on_demand_usd_h=seen.price_usd_h,
    )
    request = LaunchRequest(
        token=seen.token,
        launch_id=seen.launch_id,
        owner=seen.owner,
        job=seen.job,
        offer=offer,
        disk_gb=0,
        max_life_s=adoption.max_life_s,
    )
    if record is not None:  # it was taken for gone: whatever it was for is over
        return Instance(
            launch_id=seen.launch_id,
            job=record.job,
            request=record.request,
            taken=record.taken,
            phase=InstancePhase.TERMINATING,
            asked=Asked.ACCEPTED,
            intended_at=record.intended_at,
            id=seen.id,
            address=seen.address,
            started_at=record.started_at or seen.started_at,
            terminate_why=OFF if seen.state is CloudState.OFF else AGAIN,
        )
    return Instance(
        launch_id=seen.launch_id,
        job=seen.job,
        request=request,
        phase=InstancePhase.BOOTING,
        asked=Asked.ACCEPTED,
        intended_at=now_at,
        id=seen.id,
        address=seen.address,
        started_at=seen.started_at if seen.started_at is not None else now_at,
        token_hash=hash_token(node_token(adoption.key, seen.launch_id)),
        adopted=True,
    )


def _event(kind: Kind, orphan: Orphan) -> Event:
    seen = orphan.seen
    where = f"{seen.cloud}/{seen.region} {seen.id}"
    data = {"id": seen.id, "launch": seen.launch_id, "region": f"{seen.cloud}/{seen.region}", "job": seen.job}
    return Event(kind, f"{where}: {orphan.why}", seen.job if orphan.job_known else "", data=data)
