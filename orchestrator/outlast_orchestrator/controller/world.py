"""What this controller has seen of clouds and buckets since it started: memory only, owned by the tick.

Nothing in here survives the process, on purpose: evidence that another process gathered, or that lay
around while this one was not looking, proves nothing about now.
"""

from __future__ import annotations

import queue
from collections.abc import Mapping
from dataclasses import dataclass, field

from outlast.protocol.messages import Report
from outlast_orchestrator.core.types import Instance, Offer
from outlast_orchestrator.core.view import (
    NEVER_S,
    Call,
    CallDone,
    CallKind,
    CloudState,
    PointerSeen,
    RegionListing,
    Seen,
)

ABSENCES_KEPT = 16
NOT_LISTED_YET = "not listed yet"


@dataclass(frozen=True)
class PointerRead:
    job: str
    seen: PointerSeen


@dataclass(frozen=True)
class StatusRead:
    """`bodies` None: the bucket could not be read."""

    job: str
    begun_s: float
    bodies: Mapping[str, bytes] | None


@dataclass(frozen=True)
class OffersRead:
    """`offers` None: the cloud did not say."""

    job: str
    cloud: str
    begun_s: float
    offers: tuple[Offer, ...] | None
    problem: str = ""


@dataclass(frozen=True)
class RegionsRead:
    cloud: str
    regions: tuple[str, ...]


Arrival = RegionsRead | RegionListing | PointerRead | StatusRead | OffersRead


@dataclass
class Region:
    """One region of one cloud: what the newest complete listing had, and what is wrong since."""

    asked_s: float = NEVER_S  # when a listing was last begun
    not_before_s: float = NEVER_S  # the cloud asked for patience
    complete_s: float = NEVER_S  # begin of the newest complete listing
    problem: str = NOT_LISTED_YET
    instances: tuple[Seen, ...] = ()


@dataclass
class Machine:
    """What listings and calls said about one record."""

    asked_s: float
    seen: Seen | None = None
    seen_s: float = NEVER_S
    absent_s: tuple[float, ...] = ()
    unheard_s: float = 0.0
    terminate_s: float = NEVER_S
    install_s: float = NEVER_S


@dataclass
class Storage:
    """One job's bucket."""

    pointer: PointerSeen = field(default_factory=PointerSeen)
    pointer_asked_s: float = NEVER_S
    pointer_tries: int = 0
    pointer_read: bool = False  # at least once since this controller started
    status_asked_s: float = NEVER_S
    status_read_s: float = NEVER_S  # begin of the newest reading that succeeded
    failing: bool = False  # the newest reading of anything failed
    bodies: dict[str, bytes] = field(default_factory=dict)  # status objects as last read
    news: dict[str, bytes] = field(default_factory=dict)  # bodies that changed, not looked at yet
    listening_s: float = 0.0
    attempt_id: str = ""  # under which a generation is being taken: the same at every repeat


@dataclass
class OffersOf:
    """What one cloud offers to one job."""

    asked_s: float = NEVER_S
    offers: tuple[Offer, ...] | None = None
    problem: str = ""


class World:
    def __init__(self, now_s: float) -> None:
        self.started_s = now_s
        self.inbox: queue.SimpleQueue[Arrival] = queue.SimpleQueue()  # filled by the calls' threads
        self.configured: dict[str, tuple[str, ...]] = {}  # cloud → its configured regions
        self.regions_asked_s: dict[str, float] = {}
        self.regions: dict[tuple[str, str], Region] = {}
        self.machines: dict[str, Machine] = {}
        self.storages: dict[str, Storage] = {}
        self.offers: dict[tuple[str, str], OffersOf] = {}  # by (job, cloud)
        self.done: dict[str, list[CallDone]] = {}  # by job: kept until a decision that saw them was acted on

    # Each is made only when it is missing: they are asked for many times in each tick.

    def region(self, cloud: str, region: str) -> Region:
        key = (cloud, region)
        one = self.regions.get(key)
        return self.regions.setdefault(key, Region()) if one is None else one

    def storage(self, job: str) -> Storage:
        one = self.storages.get(job)
        return self.storages.setdefault(job, Storage()) if one is None else one

    def prices_are_old(self) -> None:
        """Every cloud is asked anew; until it answers, the offers stay as they are."""
        for known in self.offers.values():
            known.asked_s = NEVER_S

    def offers_of(self, job: str, cloud: str) -> OffersOf:
        key = (job, cloud)
        one = self.offers.get(key)
        return self.offers.setdefault(key, OffersOf()) if one is None else one

    def machine(self, record: Instance, now_s: float) -> Machine:
        """A record that is new to this controller counts as asked for just now."""
        known = self.machines.get(record.launch_id)
        if known is None:
            known = self.machines[record.launch_id] = Machine(asked_s=now_s)
        return known

    # what arrives

    def absorb(self, records: list[Instance], now_s: float) -> None:
        """Takes in what was read since the last tick."""
        for record in records:
            self.machine(record, now_s)
        while not self.inbox.empty():
            arrival = self.inbox.get()
            if isinstance(arrival, RegionListing):
                self._listed(arrival, records)
            elif isinstance(arrival, PointerRead):
                self._pointer(arrival)
            elif isinstance(arrival, StatusRead):
                self._statuses(arrival)
            elif isinstance(arrival, RegionsRead):
                self.configured[arrival.cloud] = arrival.regions
            else:
                known = self.offers_of(arrival.job, arrival.cloud)
                known.problem = arrival.problem
                known.offers = known.offers if arrival.offers is None else arrival.offers

    def ended(self, done: CallDone, record: Instance | None, now_s: float) -> None:
        """When calls about one machine ended: absences count from there."""
        if record is None:
            return
        machine = self.machine(record, now_s)
        if done.call.kind is CallKind.LAUNCH:
            machine.asked_s = done.ended_s or now_s
        elif done.call.kind is CallKind.TERMINATE:
            machine.terminate_s = done.ended_s or now_s
        elif done.call.kind is CallKind.INSTALL:
            machine.install_s = done.ended_s or now_s

    def list_ended(self, done: CallDone, now_s: float) -> None:
        """A listing that failed in an unforeseen way is Unknown too; a throttled one waits as it was told."""
        cloud, _, name = done.call.key.partition("/")
        region = self.region(cloud, name)
        if done.problem:
            region.problem = done.problem
        if done.error is not None and done.error.retry_after_s is not None:
            region.not_before_s = now_s + done.error.retry_after_s

    def read_ended(self, done: CallDone) -> None:
        """A reading that failed in an unforeseen way brought nothing into the inbox: say so here."""
        storage = self.storage(done.call.key)
        if done.call.kind is CallKind.POINTER and done.problem and not storage.pointer.problem:
            storage.pointer = PointerSeen(problem=done.problem)
        if done.call.kind is CallKind.GENERATION and done.generation:
            storage.attempt_id = ""
        if done.call.kind is CallKind.STATUS and done.problem:
            storage.failing = True

    def launching(self, record: Instance, now_s: float) -> None:
        """Its launch call is still under way: nothing can be said about absence yet."""
        self.machine(record, now_s).asked_s = now_s

    def forget(self, living: set[str], jobs: set[str]) -> list[str]:
        """Drops what belongs to records that are gone; returns their launch ids."""
        gone = [launch_id for launch_id in self.machines if launch_id not in living]
        for launch_id in gone:
            del self.machines[launch_id]
        for key in [key for key in self.offers if key[0] not in jobs]:
            del self.offers[key]
        return gone

    def _listed(self, listing: RegionListing, records: list[Instance]) -> None:
        region = self.region(listing.cloud, listing.region)
        region.problem = listing.problem
        if listing.problem or listing.begun_s <= region.complete_s:
            return
        region.complete_s = listing.begun_s
        region.instances = listing.instances
        by_launch: dict[str, list[Seen]] = {}
        for seen in listing.instances:
            by_launch.setdefault(seen.launch_id, []).append(seen)
        for record in records:
            offer = record.offer
            if (offer.cloud, offer.region) != (listing.cloud, listing.region):
                continue
            machine = self.machines[record.launch_id]
            found = choose(record, by_launch.get(record.launch_id, []))
            if found is not None:
                machine.seen, machine.seen_s, machine.absent_s = found, listing.begun_s, ()
            else:
                machine.absent_s = (*machine.absent_s, listing.begun_s)[-ABSENCES_KEPT:]

    def _pointer(self, read: PointerRead) -> None:
        storage = self.storage(read.job)
        storage.pointer = read.seen
        storage.pointer_tries += 1
        storage.failing = bool(read.seen.problem) and not read.seen.garbage
        storage.pointer_read = storage.pointer_read or not storage.failing

    def _statuses(self, read: StatusRead) -> None:
        storage = self.storage(read.job)
        storage.failing = read.bodies is None
        if read.bodies is None:
            return
        storage.status_read_s = read.begun_s
        storage.news.update({k: body for k, body in read.bodies.items() if storage.bodies.get(k) != body})


def choose(record: Instance, found: list[Seen]) -> Seen | None:
    """Which of the machines with this launch id is the record's: the one it names, if it names one.

    A token that outlived itself on its way can bring a second machine. That one says nothing of the first:
    neither that it lives nor that it has ended. It is the sweep's.
    """
    if record.id:
        return next((seen for seen in found if seen.id == record.id), None)
    living = (seen for seen in found if seen.state is not CloudState.ENDED)
    return next(living, found[0] if found else None)


def is_sign_of_life(report: Report, last: Report | None, known_body: bool) -> bool:
    """Whether a status object with a changed body was written after the last thing heard.

    Against a report of the same boot its number decides. Without one, the first body that is read may be
    of any age: only a second, different one shows that somebody writes.
    """
    if last is not None and last.boot == report.boot:
        return report.seq > last.seq
    return known_body


def status_call(job: str) -> Call:
    return Call(CallKind.STATUS, job)


def list_call(cloud: str, region: str) -> Call:
    return Call(CallKind.LIST, f"{cloud}/{region}")
