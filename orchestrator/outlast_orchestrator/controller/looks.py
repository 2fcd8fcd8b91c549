"""Starts the slow reads: regions, pointers, status objects and offers, each when it is due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from outlast.protocol.values import replace
from outlast_orchestrator.controller.rhythm import Rhythm
from outlast_orchestrator.controller.world import (
    OffersRead,
    PointerRead,
    RegionsRead,
    StatusRead,
    World,
    list_call,
    status_call,
)
from outlast_orchestrator.core.errors import BucketError, Garbage, ProviderError
from outlast_orchestrator.core.ports import Calls, Clock, Pointers, Provider
from outlast_orchestrator.core.types import Job
from outlast_orchestrator.core.view import NEVER_S, Call, CallDone, CallKind, PointerSeen, RegionListing


class Looks:
    """Each result goes into the world's inbox before its call counts as done."""

    def __init__(
        self,
        world: World,
        clock: Clock,
        calls: Calls,
        pointers: Pointers,
        providers: Mapping[str, Provider],
        rhythm: Rhythm,
    ) -> None:
        self._world = world
        self._clock = clock
        self._calls = calls
        self._pointers = pointers
        self._providers = providers
        self._rhythm = rhythm

    def regions(self) -> list[tuple[str, str]]:
        """All that are configured, of every cloud, as far as it has said."""
        known = self._world.configured
        return [(cloud, name) for cloud in self._providers for name in known.get(cloud, ())]

    def knows_regions(self) -> bool:
        return all(cloud in self._world.configured for cloud in self._providers)

    def read_regions(self) -> None:
        """Asks each cloud which regions are configured, when its answer is old or missing."""
        now_s = self._clock.monotonic_s()
        for cloud, provider in self._providers.items():
            known = cloud in self._world.configured
            every_s = self._rhythm.regions_every_s if known else self._rhythm.regions_again_s
            if now_s - self._world.regions_asked_s.get(cloud, NEVER_S) >= every_s:
                self._world.regions_asked_s[cloud] = now_s
                self._ask_regions(cloud, provider)

    def _ask_regions(self, cloud: str, provider: Provider) -> None:
        call = Call(CallKind.REGIONS, cloud)

        def run() -> CallDone:
            try:
                self._world.inbox.put(RegionsRead(cloud, tuple(provider.regions())))
            except ProviderError as error:
                return CallDone(call, error=error, ended_s=self._clock.monotonic_s())
            return CallDone(call, ended_s=self._clock.monotonic_s())

        self._calls.start(call, run)

    def list_regions(self, due_s: float, more: Sequence[tuple[str, str]] = ()) -> None:
        """Lists each region whose last listing was begun `due_s` ago or longer."""
        now_s = self._clock.monotonic_s()
        for cloud, name in sorted({*self.regions(), *more}):
            region = self._world.region(cloud, name)
            if now_s - region.asked_s >= due_s:
                self.list_region(cloud, name)

    def list_region(self, cloud: str, name: str) -> None:
        provider = self._providers.get(cloud)
        region = self._world.region(cloud, name)
        begun_s = self._clock.monotonic_s()
        if provider is None:
            region.problem = f"the cloud {cloud!r} is not configured here any more: configure it again"
            return
        if begun_s < region.not_before_s or begun_s - region.asked_s < self._rhythm.list_again_s:
            return
        call = list_call(cloud, name)

        def run() -> CallDone:
            listing, error = _listing(provider, cloud, name, begun_s)
            self._world.inbox.put(listing)
            return CallDone(call, error=error, ended_s=self._clock.monotonic_s())

        if self._calls.start(call, run):
            region.asked_s = begun_s

    def read_pointer(self, job: Job, *, routine: bool = False) -> None:
        """A routine reading wakes the tick only with something new; one that is asked for is waited for."""
        call, begun_s = Call(CallKind.POINTER, job.id), self._clock.monotonic_s()
        if begun_s - self._world.storage(job.id).pointer_asked_s < self._rhythm.pointer_again_s:
            return

        def run() -> CallDone:
            before = self._world.storage(job.id).pointer
            seen = self._pointer(job, self._clock.monotonic_s())  # it may have waited for a thread
            self._world.inbox.put(PointerRead(job.id, seen))
            news = not routine or replace(seen, begun_s=before.begun_s) != before
            return CallDone(call, problem=seen.problem, ended_s=self._clock.monotonic_s(), news=news)

        if self._calls.start(call, run):
            self._world.storage(job.id).pointer_asked_s = begun_s

    def _pointer(self, job: Job, begun_s: float) -> PointerSeen:
        try:
            return PointerSeen(begun_s, self._pointers.read(job), problem="")
        except Garbage as error:
            return PointerSeen(begun_s, problem=str(error), garbage=True)
        except BucketError as error:
            return PointerSeen(begun_s, problem=str(error))

    def read_statuses(self, job: Job, keys: Sequence[str]) -> None:
        call, begun_s = status_call(job.id), self._clock.monotonic_s()

        def run() -> CallDone:
            problem = ""
            try:
                bodies = self._pointers.status_bodies(job, keys)
                self._world.inbox.put(StatusRead(job.id, begun_s, bodies))
            except BucketError as error:
                problem = str(error)
                self._world.inbox.put(StatusRead(job.id, begun_s, None))
            return CallDone(call, problem=problem, ended_s=self._clock.monotonic_s())

        if self._calls.start(call, run):
            self._world.storage(job.id).status_asked_s = begun_s

    def read_offers(self, job: Job) -> None:
        """Asks each cloud that the job may use, when its last answer is old."""
        now_s = self._clock.monotonic_s()
        for cloud in self.clouds_of(job):
            known = self._world.offers_of(job.id, cloud)
            unknown = bool(known.problem) or known.offers is None
            every_s = self._rhythm.offers_again_s if unknown else self._rhythm.offers_every_s
            if now_s - known.asked_s >= every_s:
                self._ask_offers(job, cloud, now_s)

    def clouds_of(self, job: Job) -> list[str]:
        return [name for name in self._providers if not job.want.clouds or name in job.want.clouds]

    def _ask_offers(self, job: Job, cloud: str, begun_s: float) -> None:
        provider, call = self._providers[cloud], Call(CallKind.OFFERS, f"{cloud}/{job.id}")

        def run() -> CallDone:
            found: OffersRead
            failed: ProviderError | None = None
            try:
                found = OffersRead(job.id, cloud, begun_s, tuple(provider.offers(job.want)))
            except ProviderError as error:
                failed, found = error, OffersRead(job.id, cloud, begun_s, None, str(error))
            news = found.offers != self._world.offers_of(job.id, cloud).offers
            self._world.inbox.put(found)
            return CallDone(call, error=failed, ended_s=self._clock.monotonic_s(), news=news)

        if self._calls.start(call, run):
            self._world.offers_of(job.id, cloud).asked_s = begun_s


def _listing(
    provider: Provider, cloud: str, name: str, begun_s: float
) -> tuple[RegionListing, ProviderError | None]:
    """The begin is ours, from before the call: a provider cannot make a listing look younger."""
    try:
        found = provider.instances(name)
    except ProviderError as error:
        return RegionListing(cloud, name, begun_s, problem=str(error) or type(error).__name__), error
    return RegionListing(cloud, name, begun_s, found.instances, found.problem), None
