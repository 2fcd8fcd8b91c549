"""Finds jobs that are in the bucket and not in the store: submitted after the backup that it came from.

What they need is not in the bucket, so they can't be put back. But what runs for them is not ended, and
people are told.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from outlast.protocol.messages import Work
from outlast.protocol.objects import Pointer, PointerState
from outlast_orchestrator.core.errors import BucketError, Garbage
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.ports import Calls, Clock, Pointers
from outlast_orchestrator.core.types import Job, RetryPlan, Want
from outlast_orchestrator.core.view import NEVER_S, Call, CallDone, CallKind, Seen

FRESH_S = 300.0  # what was read longer ago does not show what a machine does now
AGAIN_S = 30.0


@dataclass(frozen=True)
class Found:
    """What the storages say of one job. Without a pointer and without a problem there is no such job."""

    begun_s: float
    storage: str = ""
    pointer: Pointer | None = None
    problem: str = ""
    foreign: bool = False  # the problem is what was read: another owner's, or garbage


@dataclass(frozen=True)
class Listed:
    """The jobs of one storage."""

    storage: str
    jobs: tuple[str, ...]


class LostJobs:
    """Owned by the tick; only the queue is filled by the calls' threads.

    `storage` is where new jobs go ("": not known). `search`: the storages are to be listed once.
    """

    def __init__(
        self, owner: str, clock: Clock, calls: Calls, pointers: Pointers, storage: str = "", *, search: bool
    ) -> None:
        self._owner = owner
        self._clock = clock
        self._calls = calls
        self._pointers = pointers
        self._storage = storage
        self._search = search
        self._inbox: queue.SimpleQueue[tuple[str, Found] | Listed] = queue.SimpleQueue()
        self._asked_s: dict[str, float] = {}
        self._found: dict[str, Found] = {}
        self._listed: set[str] = set()
        self._wanted: set[str] = set()  # found in a listing, to be read once
        self._told: set[str] = set()

    def look(self, strangers: Collection[str], jobs: Mapping[str, Job]) -> list[Event]:
        """Starts the reads that are due; `strangers` are the jobs of machines that nobody knows."""
        storages = {job.storage for job in jobs.values()} | ({self._storage} if self._storage else set())
        self._take_in(jobs)
        if self._search:
            for storage in sorted(storages - self._listed):
                self._list(storage)
        for job in sorted({*strangers, *self._wanted}):
            if job not in jobs:
                self._read(job, sorted(storages))
        return self._news(jobs)

    def arrived(self) -> bool:
        """Whether something was read since the last look."""
        return not self._inbox.empty()

    def may_end(self, seen: Seen) -> bool:
        """Whether every storage was read just now, and no pointer says that its job runs on this machine. One
        whose tags name no job (a person took them off) may work for any: that is a person's to judge."""
        if not seen.job:
            return False
        found = self._found.get(seen.job)
        if found is None or found.problem or self._clock.monotonic_s() - found.begun_s > FRESH_S:
            return False
        if found.pointer is None or found.pointer.state is not PointerState.RUNNING:
            return True
        ids = {ref.id for ref in found.pointer.instances}
        return bool(ids) and not ids & {seen.id, seen.launch_id}

    def _take_in(self, jobs: Mapping[str, Job]) -> None:
        while not self._inbox.empty():
            arrival = self._inbox.get()
            if isinstance(arrival, Listed):
                self._listed.add(arrival.storage)
                self._wanted |= set(arrival.jobs) - set(jobs)
            else:
                job, found = arrival
                self._found[job] = found
                if not found.problem or found.foreign:
                    self._wanted.discard(job)

    def _news(self, jobs: Mapping[str, Job]) -> list[Event]:
        """Each is told once by each controller: it is still lost then."""
        fresh = {
            job: found
            for job, found in self._found.items()
            if found.pointer is not None and job not in self._told and job not in jobs
        }
        self._told |= fresh.keys()
        return [_event(job, found) for job, found in sorted(fresh.items())]

    # reads

    def _due(self, key: str) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s - self._asked_s.get(key, NEVER_S) < AGAIN_S:
            return False
        self._asked_s[key] = now_s
        return True

    def _list(self, storage: str) -> None:
        def run() -> None:
            self._inbox.put(Listed(storage, tuple(self._pointers.jobs(storage))))

        self._start(storage, run)

    def _read(self, job: str, storages: list[str]) -> None:
        begun_s = self._clock.monotonic_s()
        self._start(job, lambda: self._inbox.put((job, self._find(job, storages, begun_s))))

    def _start(self, key: str, run: Callable[[], None]) -> None:
        call = Call(CallKind.LOST, key)

        def guarded() -> CallDone:
            problem = ""
            try:
                run()
            except BucketError as error:
                problem = str(error)  # asked again: nothing was put into the inbox
            return CallDone(call, problem=problem, ended_s=self._clock.monotonic_s())

        if self._due(key):
            self._calls.start(call, guarded)

    def _find(self, job: str, storages: list[str], begun_s: float) -> Found:
        """Where nothing is known, nothing may be concluded: a storage that can't be read may hold it."""
        problem, foreign = "" if storages else "no storage is known here", True
        for storage in storages:
            try:
                pointer = self._pointers.read(_stand_in(job, self._owner, storage))
            except (BucketError, Garbage) as error:
                problem, foreign = str(error), foreign and isinstance(error, Garbage)
                continue
            if pointer is not None:
                return Found(begun_s, storage, pointer)
        return Found(begun_s, problem=problem, foreign=foreign and bool(storages))


def _stand_in(job: str, owner: str, storage: str) -> Job:
    """As much of it as reading its pointer takes."""
    work = Work(name=job, owner=owner, revision=0, run="")
    return Job(job, job, owner, 0.0, 0, Want(), work, RetryPlan(), storage)


def _event(job: str, found: Found) -> Event:
    pointer = found.pointer
    assert pointer is not None
    step = f"step {pointer.head.step} is durable" if pointer.head is not None else "no step is durable yet"
    does = f"is {pointer.state.value}"
    if pointer.state is PointerState.RUNNING and pointer.instances:
        does = f"runs on {', '.join(ref.id for ref in pointer.instances)}, which is left alone"
    why = (
        f"job {job} in {found.storage} is of this store and not in it: it was submitted after the backup. "
        f"Generation {pointer.generation} {does}; {step}, under jobs/{job}/"
    )
    data = {"job": job, "storage": found.storage, "generation": str(pointer.generation)}
    return Event(Kind.JOB_UNKNOWN, why, data={**data, "state": pointer.state.value})
