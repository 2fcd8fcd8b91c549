"""The real controller, store and API over a cloud, buckets and nodes that cost next to nothing."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.bucket import MemoryBucket
from tests.scale.cloud import FleetCloud, FleetRemote
from tests.scale.nodes import Fleet

from outlast.bucket.client import scoped
from outlast.ports import Bucket
from outlast.protocol.messages import Work
from outlast.protocol.objects import job_prefix
from outlast_orchestrator.controller.calls import ThreadCalls
from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.controller.heap import calm
from outlast_orchestrator.controller.loop import Controller, Parts
from outlast_orchestrator.controller.node_settings import NodeSettings
from outlast_orchestrator.controller.nodes import NodeRegistry
from outlast_orchestrator.controller.pointers import BucketPointers
from outlast_orchestrator.controller.schedule import Due, start_schedule
from outlast_orchestrator.core.decide import decide
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import Job, JobState, RetryPlan, Want
from outlast_orchestrator.policies import POLICIES
from outlast_orchestrator.settings import LimitSettings
from outlast_orchestrator.store.db import open_store
from outlast_orchestrator.web.app import Services, create_app
from outlast_orchestrator.web.auth import issue_token
from outlast_orchestrator.web.serve import ApiServer, Listen

KEY = b"k" * 32
STORAGE = "s3://fleet"
LOOK_EVERY_S = 0.1
LOOK_EVERY_MAX_S = 3.0
LOOK_SHARE = 20  # the time between two looks, in times of what a look took: it is the controller's core
TELL_EVERY_S = 20.0


@dataclass(frozen=True)
class Speed:
    """How long the outside takes to answer: sleeping, so that it costs no CPU."""

    bucket_s: float = 0.02
    cloud_s: float = 0.2


@dataclass(frozen=True)
class Tick:
    begun_s: float
    wall_s: float
    cpu_s: float  # of the controller's own thread


class TimedController(Controller):
    """The real one, with a watch around each tick."""

    def __init__(self, parts: Parts, alarm: threading.Event) -> None:
        super().__init__(parts, alarm)
        self.ticks: list[Tick] = []

    def tick(self) -> float:
        begun_s, cpu_s = time.monotonic(), time.thread_time()
        try:
            return super().tick()
        finally:
            self.ticks.append(Tick(begun_s, time.monotonic() - begun_s, time.thread_time() - cpu_s))


@dataclass
class Rig:
    """Everything in this process. `close` ends its threads."""

    url: str
    speed: Speed = field(default_factory=Speed)

    def __post_init__(self) -> None:
        self._threshold = gc.get_threshold()
        self.clock = SystemClock()
        self.store = open_store(self.url, self.clock)
        self.alarm = threading.Event()
        self.nodes = NodeRegistry(self.clock, self.alarm.set)
        self.calls = ThreadCalls(self.clock, self.alarm.set)
        self.due = Due(self.alarm.set)
        self.cloud = FleetCloud(self.speed.cloud_s)
        self._buckets: dict[str, MemoryBucket] = {}
        self._lock = threading.Lock()
        self.fleet = Fleet(self.nodes, lambda job: self._open_bucket(STORAGE, job_prefix(job)))
        self.cloud.ended = self.fleet.end
        self.controller = TimedController(self._parts(), self.alarm)
        self._thread = threading.Thread(target=self.controller.run, name="controller", daemon=True)
        self._schedule = start_schedule(self.due)
        self._api: ApiServer | None = None

    def _parts(self) -> Parts:
        limits = LimitSettings(launch_lag_s=5.0).limits()
        return Parts(
            clock=self.clock,
            store=self.store,
            nodes=self.nodes,
            calls=self.calls,
            pointers=BucketPointers(self._open_bucket, self.clock),
            providers={self.cloud.name: self.cloud},
            remotes={self.cloud.name: FleetRemote(self.speed.cloud_s, self.fleet.installed)},
            decide=decide,
            policies=POLICIES,
            limits=lambda _clouds: limits,
            node=NodeSettings("http://127.0.0.1:9", 600.0, KEY),
            due=self.due,
            holder=self.clock.token(8),
            sleep=self.clock.sleep,
        )

    def _bucket(self, prefix: str) -> MemoryBucket:
        """One for each job: a listing need not look through all of them."""
        with self._lock:
            return self._buckets.setdefault(prefix, MemoryBucket(before=self._travel))

    def _travel(self, _verb: str, _key: str) -> None:
        """The controller's calls have a way to go; the nodes share one thread, which must not wait."""
        if threading.current_thread() is not self.fleet.thread:
            time.sleep(self.speed.bucket_s)

    def _open_bucket(self, _storage: str, prefix: str) -> Bucket:
        return scoped(self._bucket(prefix), prefix)

    # life

    def start(self) -> None:
        calm()
        self.fleet.start()
        self._thread.start()

    def listen(self) -> str:
        """Starts the API too; its URL."""
        services = Services(
            store=self.store,
            nodes=self.nodes,
            clock=self.clock,
            wake=self.alarm.set,
            buckets=lambda _url, prefix: self._open_bucket(STORAGE, prefix),
            storage=STORAGE,
            offers=lambda want: self.cloud.offers(want),
            policies=POLICIES,
            next_wake_s=self.controller.next_wake_s,
            leading=self.controller.leading,
        )
        self._api = ApiServer(create_app(services), Listen())
        self._api.start()
        return self._api.url

    def admin_token(self) -> str:
        return issue_token(self.store, self.clock, "scale")

    def close(self) -> None:
        if self._api is not None:
            self._api.stop()
        self._schedule.shutdown(wait=False)
        self.controller.stop()
        self._thread.join(30)
        self.fleet.stop()
        self.calls.close()
        self.store.close()
        gc.unfreeze()
        gc.set_threshold(*self._threshold)
        gc.collect()

    # what people do, and what happens

    def submit(self, jobs: int) -> None:
        owner, at = self.store.owner(), self.clock.wall_s()
        for number in range(jobs):
            job_id = f"{number:016x}"
            work = Work(
                name=f"job-{number}", owner=owner, revision=1, run="python train.py --config run.yaml"
            )
            job = Job(job_id, f"job-{number}", owner, at, 1, Want(), work, RetryPlan(), STORAGE)
            self.store.submit(job, Event(Kind.JOB_SUBMITTED, "submitted", job_id))
        self.alarm.set()

    def states(self) -> Counter[JobState]:
        return Counter(progress.state for progress in self.store.progress())

    def running(self) -> list[str]:
        """Launch ids of the machines whose nodes train."""
        return [
            one.config.instance for one in list(self.fleet.members.values()) if one.state.value == "running"
        ]

    def wait(self, what: str, test: Callable[[], bool], limit_s: float) -> float:
        """Seconds until it was so. Raises TimeoutError."""
        begun_s = told_s = looked_s = time.monotonic()
        while not test():
            assert not self.fleet.problem, self.fleet.problem
            now_s = time.monotonic()
            if now_s - begun_s > limit_s:
                raise TimeoutError(f"not within {limit_s:.0f} s: {what}; states: {self.states()}")
            if now_s - told_s > TELL_EVERY_S:
                told_s = now_s
                states = ", ".join(f"{state.value} {count}" for state, count in self.states().items())
                sys.stderr.write(f"{now_s - begun_s:.0f} s, until {what}: {states}\n")
            time.sleep(min(max(LOOK_EVERY_S, LOOK_SHARE * (now_s - looked_s)), LOOK_EVERY_MAX_S))
            looked_s = time.monotonic()
        return time.monotonic() - begun_s
