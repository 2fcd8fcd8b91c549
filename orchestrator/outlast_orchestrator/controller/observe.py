"""Looks at the whole world once a tick, and makes one JobView for each job that may need a decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from outlast.protocol.values import replace
from outlast_orchestrator.controller.listen import Ears
from outlast_orchestrator.controller.looks import Looks
from outlast_orchestrator.controller.rhythm import Rhythm
from outlast_orchestrator.controller.world import Storage, World
from outlast_orchestrator.core.ledger import cost_usd
from outlast_orchestrator.core.ports import Calls, Clock, Nodes, Rows, Store
from outlast_orchestrator.core.types import (
    OVER,
    Attempt,
    Block,
    Instance,
    Job,
    Offer,
    Progress,
    Wanted,
)
from outlast_orchestrator.core.view import (
    Call,
    CallDone,
    CallKind,
    Heard,
    InstanceView,
    JobView,
    Limits,
)

DICE = 8
DICE_BYTES = 8
DICE_CHARS = 2 * DICE_BYTES


@dataclass(frozen=True)
class Snapshot:
    """The store at the begin of a tick."""

    jobs: Mapping[str, Job]
    progress: Mapping[str, Progress]
    attempts: Mapping[str, tuple[Attempt, ...]]
    instances: Mapping[str, tuple[Instance, ...]]  # not gone
    blocks: tuple[Block, ...]
    damaged: Mapping[str, str]  # jobs of which something can't be read: nothing is done about them

    def records(self) -> list[Instance]:
        return [record for records in self.instances.values() for record in records]

    def active(self) -> list[Job]:
        """Jobs that a decision could do something for: not over, or with something left to clear up."""
        return [job for job in self.jobs.values() if self._is_active(job)]

    def _is_active(self, job: Job) -> bool:
        if job.id in self.damaged:
            return False
        progress = self.progress.get(job.id)
        if progress is None or progress.state not in OVER or job.wanted_number != progress.handled_number:
            return True
        return bool(self.instances.get(job.id)) or any(a.open for a in self.attempts.get(job.id, ()))


def read_snapshot(store: Store) -> Snapshot:
    """Raises StoreError."""
    return by_job(store.rows())


def by_job(rows: Rows) -> Snapshot:
    attempts: dict[str, list[Attempt]] = {}
    for attempt in rows.attempts:
        attempts.setdefault(attempt.job, []).append(attempt)
    instances: dict[str, list[Instance]] = {}
    for record in rows.instances:
        instances.setdefault(record.job, []).append(record)
    return Snapshot(
        jobs={job.id: job for job in rows.jobs},
        progress={progress.job: progress for progress in rows.progress},
        attempts={job: tuple(found) for job, found in attempts.items()},
        instances={job: tuple(found) for job, found in instances.items()},
        blocks=tuple(rows.blocks),
        damaged=rows.damaged,
    )


class Observer:
    def __init__(
        self,
        world: World,
        clock: Clock,
        store: Store,
        nodes: Nodes,
        calls: Calls,
        looks: Looks,
        limits: Callable[[Sequence[str]], Limits],
        rhythm: Rhythm,
    ) -> None:
        self._world = world
        self._clock = clock
        self._store = store
        self._nodes = nodes
        self._calls = calls
        self._looks = looks
        self._limits = limits
        self._rhythm = rhythm
        self._ears = Ears(world, clock, nodes, looks, rhythm)
        self._in_flight: frozenset[Call] = frozenset()
        self._last: tuple[Rows, Snapshot] | None = None
        self._limits_of: dict[tuple[str, ...], Limits] = {}  # by clouds, for all views of this tick
        self._spent_before: dict[str, tuple[tuple[str, ...], float]] = {}

    def look(self) -> Snapshot:
        """Takes in all that arrived, and starts the reads that are due. Raises StoreError."""
        now_s = self._clock.monotonic_s()
        done = self._calls.collect()
        snapshot = self._snapshot()
        records = snapshot.records()
        self._world.absorb(records, now_s)
        self._file(done, {record.launch_id: record for record in records})
        launching = {call.key for call in self._calls.in_flight() if call.kind is CallKind.LAUNCH}
        for record in records:
            if record.request.token in launching:
                self._world.launching(record, now_s)
        living = {record.launch_id for record in records}
        for launch_id in self._world.forget(living, set(snapshot.jobs)):
            self._nodes.forget(launch_id)
        active = snapshot.active()
        self._ears.listen(active, snapshot.attempts, snapshot.instances)
        self._start_reads(active, records, snapshot.instances)
        # For all views of this tick: what a job asks about is started by its own decision alone.
        self._in_flight = self._calls.in_flight()
        self._limits_of = {}
        return snapshot

    def pass_time(self) -> None:
        """In the middle of a long tick: so that it does not look as if this process had stood still."""
        self._ears.pass_time()

    def _snapshot(self) -> Snapshot:
        rows = self._store.rows()
        if self._last is None or self._last[0] is not rows:
            self._last = (rows, by_job(rows))
        return self._last[1]

    def _file(self, done: Sequence[CallDone], records: Mapping[str, Instance]) -> None:
        """Gives each outcome to the jobs that it concerns; it stays there until it was acted on."""
        now_s = self._clock.monotonic_s()
        for one in done:
            kind, key = one.call.kind, one.call.key
            if kind in (CallKind.LAUNCH, CallKind.TERMINATE, CallKind.INSTALL):
                launch_id = key.rpartition("-")[0] if kind is CallKind.LAUNCH else key
                record = records.get(launch_id)
                self._world.ended(one, record, now_s)
                concerned = [] if record is None else [record.job]
            elif kind is CallKind.LIST:
                self._world.list_ended(one, now_s)
                regions = {r.job for r in records.values() if _region_key(r) == key}
                concerned = sorted(regions)
            elif kind in (CallKind.OFFERS, CallKind.REGIONS, CallKind.LOST):
                concerned = []  # nobody waits for it: the offers themselves are in the view
            else:
                self._world.read_ended(one)
                concerned = [key]
            for job in concerned:
                self._world.done.setdefault(job, []).append(one)

    def _start_reads(
        self, active: Sequence[Job], records: Sequence[Instance], busy: Mapping[str, Sequence[Instance]]
    ) -> None:
        now_s = self._clock.monotonic_s()
        self._looks.read_regions()
        for job in active:
            storage = self._world.storage(job.id)
            idle = job.wanted is not Wanted.RUN and storage.pointer_read and not busy.get(job.id)
            if not idle and now_s - storage.pointer_asked_s >= self._rhythm.pointer_every_s:
                self._looks.read_pointer(job, routine=True)
            if job.wanted is Wanted.RUN:
                self._looks.read_offers(job)
        if active or records:
            more = [_region_of(record) for record in records]
            self._looks.list_regions(self._rhythm.list_every_s, more)

    # views

    def view(self, job: Job, snapshot: Snapshot) -> JobView:
        now_s, now_at = self._clock.monotonic_s(), self._clock.wall_s()
        records, storage = snapshot.instances.get(job.id, ()), self._world.storage(job.id)
        heard = self._nodes.heard([record.launch_id for record in records]) if records else {}
        return JobView(
            now_s=now_s,
            now_at=now_at,
            job=job,
            progress=snapshot.progress.get(job.id) or Progress(job.id, since=job.created_at),
            attempts=self._attempts(job, snapshot.attempts.get(job.id, ())),
            instances=tuple(
                [self._machine(record, heard.get(record.launch_id), storage, now_s) for record in records]
            ),
            pointer=storage.pointer,
            offers=self._offers(job),
            blocks=snapshot.blocks,
            in_flight=self._in_flight,
            done=tuple(self._world.done.get(job.id, ())),
            limits=self._limits_for(job, records),
            dice=self._dice(),
            listening_s=storage.listening_s,
            spent_usd=self._spent(job.id, records, now_at),
        )

    def _limits_for(self, job: Job, records: Sequence[Instance]) -> Limits:
        clouds = [record.offer.cloud for record in records] or self._looks.clouds_of(job)
        key = tuple(clouds) if len(clouds) == 1 else tuple(sorted(set(clouds)))
        found = self._limits_of.get(key)
        return self._limits_of.setdefault(key, self._limits(key)) if found is None else found

    def _dice(self) -> tuple[str, ...]:
        drawn = self._clock.token(DICE_BYTES * DICE)  # all at once: few decisions need any
        return tuple([drawn[begin : begin + DICE_CHARS] for begin in range(0, len(drawn), DICE_CHARS)])

    def _attempts(self, job: Job, recent: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
        """The recent ones and the one that the pointer names: a claim can arrive after two successors."""
        pointer = self._world.storage(job.id).pointer.pointer
        if pointer is None or pointer.generation in [a.generation for a in recent]:
            return recent
        named = [a for a in self._store.attempts(job.id) if a.generation == pointer.generation]
        return tuple(sorted((*named, *recent), key=lambda a: a.generation))

    def _machine(self, record: Instance, heard: Heard | None, storage: Storage, now_s: float) -> InstanceView:
        machine = self._world.machine(record, now_s)
        if heard is not None and heard.report.job != record.job:
            heard = None  # whoever says so is not this job's node
        return InstanceView(
            record=record,
            seen=machine.seen,
            seen_s=machine.seen_s,
            absent_s=machine.absent_s,
            region_problem=self._region_problem(record, now_s),
            heard=heard,
            unheard_s=machine.unheard_s,
            unread_s=now_s - storage.status_read_s,
            asked_s=machine.asked_s,
            terminate_s=machine.terminate_s,
            install_s=machine.install_s,
        )

    def _region_problem(self, record: Instance, now_s: float) -> str:
        offer = record.offer
        region = self._world.region(offer.cloud, offer.region)
        if region.problem:
            return region.problem
        age_s = now_s - region.complete_s
        return f"no complete listing for {age_s:.0f} s" if age_s > self._rhythm.listed_within_s else ""

    def _offers(self, job: Job) -> tuple[Offer, ...] | None:
        """None as long as a cloud that might still have the only offer has not answered."""
        known = [self._world.offers_of(job.id, cloud) for cloud in self._looks.clouds_of(job)]
        if len(known) == 1:
            return known[0].offers
        found = tuple(offer for one in known for offer in one.offers or ())
        if not found and any(one.offers is None for one in known):
            return None
        return found

    def _spent(self, job: str, living: Sequence[Instance], now_at: float) -> float:
        """Machines that are gone cost no more: their sum is read again only when another one has gone."""
        key = tuple([record.launch_id for record in living])
        known = self._spent_before.get(job)
        if known is None or known[0] != key:
            gone = [record for record in self._store.instances(job) if record.launch_id not in key]
            known = self._spent_before[job] = (key, cost_usd(gone, now_at))
        return known[1] + cost_usd(living, now_at)


def cautious(limits: Sequence[Limits], default: Limits) -> Limits:
    """The limits that are safe for all of several clouds at once."""
    if not limits:
        return default
    return replace(
        limits[0],
        launch_lag_s=max(one.launch_lag_s for one in limits),
        token_life_s=min(one.token_life_s for one in limits),
        boot_limit_s=max(one.boot_limit_s for one in limits),
        notice_s=min((one.notice_s for one in limits if one.notice_s is not None), default=None),
        first_hour_free=all(one.first_hour_free for one in limits),
    )


def _region_of(record: Instance) -> tuple[str, str]:
    return record.offer.cloud, record.offer.region


def _region_key(record: Instance) -> str:
    return "/".join(_region_of(record))
