"""A controller on a stage: real shells and store, everything outside in a test's hands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.contracts.rows import OFFER, attempt, instance, job, progress
from tests.fakes.hand_clock import HandClock

from outlast.protocol.codec import dump
from outlast.protocol.messages import AgentState, Report
from outlast.protocol.objects import Pointer
from outlast_orchestrator.controller.act import Retry
from outlast_orchestrator.controller.loop import Controller, Parts
from outlast_orchestrator.controller.node_settings import NodeSettings
from outlast_orchestrator.controller.nodes import NodeRegistry
from outlast_orchestrator.controller.schedule import Due
from outlast_orchestrator.core.actions import Decision
from outlast_orchestrator.core.errors import BucketError, Scope, ScopeKind, Transient
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.ports import AgentConfig, Policy, Row
from outlast_orchestrator.core.types import Instance, InstancePhase, Job, LaunchRequest, Offer, Want
from outlast_orchestrator.core.view import (
    Call,
    CallDone,
    CloudState,
    InstanceView,
    JobView,
    Limits,
    RegionListing,
    Seen,
)
from outlast_orchestrator.policies.cheapest import cheapest
from outlast_orchestrator.store.db import SqlStore, open_store

LIMITS = Limits(600.0, 60.0, 12.0, 5.0, 600.0, 600.0, 3600.0, 120.0, 86_400.0)
KEY = b"k" * 32


class StageCalls:
    """Calls that end when the stage says so: at the next `work`, in the order in which they were made."""

    def __init__(self) -> None:
        self.waiting: dict[Call, Callable[[], CallDone]] = {}
        self.ended: list[CallDone] = []

    def start(self, call: Call, run: Callable[[], CallDone]) -> bool:
        if call in self.in_flight():
            return False
        self.waiting[call] = run
        return True

    def in_flight(self) -> frozenset[Call]:
        return frozenset([*self.waiting, *(done.call for done in self.ended)])

    def collect(self) -> list[CallDone]:
        ended, self.ended = self.ended, []
        return ended

    def work(self) -> None:
        for call, run in list(self.waiting.items()):
            self.ended.append(run())
            del self.waiting[call]


@dataclass
class StageCloud:
    """A cloud of one region that lists what it is told to list, and tells whom it was called by."""

    clock: HandClock
    name: str = "here"
    listed: list[Seen] = field(default_factory=list)
    problem: str = ""
    offers_problem: str = ""
    on_launch: Callable[[LaunchRequest], None] = lambda request: None
    on_terminate: Callable[[Instance], None] = lambda record: None
    launched: list[str] = field(default_factory=list)
    terminated: list[str] = field(default_factory=list)

    def offers(self, want: Want) -> list[Offer]:
        if self.offers_problem:
            raise Transient(self.offers_problem, Scope(ScopeKind.CALL, "offers"))
        return [OFFER]

    def launch(self, request: LaunchRequest) -> None:
        self.on_launch(request)
        self.launched.append(request.token)

    def regions(self) -> list[str]:
        return ["r1"]

    def instances(self, region: str) -> RegionListing:
        return RegionListing(self.name, region, self.clock.monotonic_s(), tuple(self.listed), self.problem)

    def terminate(self, record: Instance) -> None:
        self.on_terminate(record)
        self.terminated.append(record.id)

    def check(self) -> list[str]:
        return []


@dataclass
class StageBuckets:
    pointer: Pointer | None = None
    down: bool = False
    bodies: dict[str, bytes] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    reads: int = 0

    def read(self, job: Job) -> Pointer | None:
        self._check()
        self.reads += 1
        return self.pointer

    def take_generation(self, job: Job, at_least: int, attempt: str) -> int:
        self._check()
        return at_least

    def hold(self, job: Job, name: str) -> str:
        self._check()
        self.held.append(name)
        return name

    def status_bodies(self, job: Job, keys: Sequence[str]) -> dict[str, bytes]:
        self._check()
        return {key: self.bodies[key] for key in keys if key in self.bodies}

    def jobs(self, storage: str) -> list[str]:
        self._check()
        return list(self.listed)

    def _check(self) -> None:
        if self.down:
            raise BucketError("the bucket can't be reached")


@dataclass
class StageRemote:
    installed: list[AgentConfig] = field(default_factory=list)
    before: Callable[[Instance], None] = lambda record: None

    def install(self, record: Instance, config: AgentConfig) -> None:
        self.before(record)
        self.installed.append(config)


def seen(launch_id: str = "l1", state: CloudState = CloudState.RUNNING, **more: Any) -> Seen:
    values: dict[str, Any] = {"id": f"i-{launch_id}", "job": "j1", "owner": "own", **more}
    return Seen(
        values.pop("id"),
        launch_id,
        f"{launch_id}-1",
        values.pop("job"),
        values.pop("owner"),
        "here",
        "r1",
        "r1-a",
        "cpu-1",
        OFFER.market,
        state,
        0.3,
        **values,
    )


def report(launch_id: str = "l1", seq: int = 1, boot: str = "b1", **more: Any) -> Report:
    values: dict[str, Any] = {"job": "j1", "generation": 1, "rank": 0, "state": AgentState.RUNNING, **more}
    return Report(instance=launch_id, boot=boot, seq=seq, **values)


class Stage:
    """`decisions` maps a job to what is decided at every tick; `views` keeps what was looked at."""

    def __init__(self, url: str = "sqlite://", holder: str = "me", clock: HandClock | None = None) -> None:
        self.clock = clock or HandClock()
        self.store: SqlStore = open_store(url, self.clock)
        self.alarm = threading.Event()
        self.nodes = NodeRegistry(self.clock, self.alarm.set)
        self.calls = StageCalls()
        self.cloud = StageCloud(self.clock)
        self.buckets = StageBuckets()
        self.remote = StageRemote()
        self.due = Due()
        self.user_data = ""
        self.views: dict[str, JobView] = {}
        self.decisions: dict[str, Callable[[JobView], Decision]] = {}
        self.parts = Parts(
            clock=self.clock,
            store=self.store,
            nodes=self.nodes,
            calls=self.calls,
            pointers=self.buckets,
            providers={"here": self.cloud},
            remotes={"here": self.remote},
            decide=self._decide,
            policies={"cheapest": cheapest},
            limits=lambda names: LIMITS,
            node=NodeSettings("http://127.0.0.1:1", 600.0, KEY, lambda request: self.user_data),
            due=self.due,
            holder=holder,
            sleep=self.clock.sleep,
            retry=Retry(tries_max=2),
        )
        self.controller = Controller(self.parts, self.alarm)

    def _decide(self, view: JobView, policy: Policy) -> Decision:
        self.views[view.job.id] = view
        decide = self.decisions.get(view.job.id)
        return Decision((), "nothing to do") if decide is None else decide(view)

    def submit(self, *rows: Row, job_id: str = "j1", **more: Any) -> Job:
        """A job of this store, with rows of the controller beside it."""
        mine = replace(job(job_id, job_id, **more), owner=self.store.owner())
        self.store.submit(mine, Event(Kind.JOB_SUBMITTED, "submitted", job_id))
        self.put(progress(job_id), *rows)
        return mine

    def put(self, *rows: Row) -> None:
        term = self.store.lead(self.parts.holder, self.parts.leader_ttl_s)
        assert term is not None
        self.store.commit(term, rows, [])

    def tick(self, times: int = 1, seconds: float = 1.0) -> None:
        """Ticks, each after the calls of the one before have ended and some time has passed."""
        for _ in range(times):
            self.controller.tick()
            self.calls.work()
            self.clock.forward(seconds)

    def settle(self) -> None:
        """Until each region has answered once and decisions are made."""
        self.tick(4, 0.01)

    def view(self, job_id: str = "j1") -> JobView:
        return self.views[job_id]

    def kinds(self, job_id: str | None = None) -> list[Kind]:
        return [event.kind for event in self.store.events(job_id, 0, 1000)]

    def write_status(self, key: str, said: Report) -> None:
        self.buckets.bodies[key] = dump(said)


def ready(launch_id: str = "l1", **more: Any) -> Instance:
    return instance(launch_id, phase=InstancePhase.READY, id=f"i-{launch_id}", **more)


def with_a_machine() -> Stage:
    """Job j1 with an attempt on machine l1, which the cloud lists."""
    found = Stage()
    found.submit(attempt(), ready())
    found.cloud.listed = [seen(owner=found.store.owner())]
    return found


def machine(stage: Stage) -> InstanceView:
    """As the newest decision about j1 saw it."""
    return stage.view().instances[0]
