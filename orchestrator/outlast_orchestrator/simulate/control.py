"""The real controller as a simulated process: its ports, its calls as tasks, its death and its return."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from outlast.ports import Mailbox, Runtime
from outlast.protocol.limits import LEASE_MARGIN_S, LEASE_S
from outlast.protocol.objects import Pointer
from outlast_orchestrator.controller.loop import Controller, Decide, Parts
from outlast_orchestrator.controller.node_settings import NodeSettings
from outlast_orchestrator.controller.nodes import NodeRegistry
from outlast_orchestrator.controller.pointers import BucketPointers
from outlast_orchestrator.controller.rhythm import Rhythm
from outlast_orchestrator.controller.schedule import EVERY_S, Due
from outlast_orchestrator.core.decide import decide
from outlast_orchestrator.core.ports import AgentConfig, Pointers, Provider
from outlast_orchestrator.core.types import Job
from outlast_orchestrator.core.view import Call, CallDone, Limits
from outlast_orchestrator.policies.cheapest import cheapest
from outlast_orchestrator.simulate.bucket import BucketServer, SimBucket
from outlast_orchestrator.simulate.clock import Process, SimClock
from outlast_orchestrator.simulate.cloud import LAUNCH_LAG_S, NAME, Machine, SimCloud
from outlast_orchestrator.simulate.history import History, PointerKnown, ProcessDied
from outlast_orchestrator.simulate.host import Host
from outlast_orchestrator.simulate.link import Door, Listener
from outlast_orchestrator.simulate.network import CONTROLLER, Network
from outlast_orchestrator.simulate.provider import CloudApi, SimProvider, SimRemote
from outlast_orchestrator.simulate.runtime import ProcessRuntime
from outlast_orchestrator.simulate.store import MemoryStore

# The product looks every few seconds; a simulated day needs the same code and the same order of things,
# not the same number of looks. The lease and everything that is a promise stays as it is.
RHYTHM = Rhythm(
    tick_s=120.0,
    gap_max_s=180.0,
    list_every_s=180.0,
    list_again_s=20.0,
    listed_within_s=500.0,
    pointer_every_s=120.0,
    pointer_again_s=4.0,
    quiet_after_s=120.0,
    status_every_s=60.0,
    status_fresh_s=150.0,
    offers_every_s=1800.0,
    regions_every_s=3600.0,
)
LIMITS = Limits(
    lease_s=LEASE_S,
    lease_margin_s=LEASE_MARGIN_S,
    silent_after_s=180.0,
    launch_lag_s=LAUNCH_LAG_S,
    token_life_s=1500.0,
    notice_s=120.0,
    boot_limit_s=900.0,
    prepare_limit_s=3600.0,
    drain_limit_s=180.0,
    instance_life_max_s=7 * 86_400.0,
)
KEY = b"the key of the simulated server!"
TICK_MIN_S = 20.0
WATCH_S = 60.0  # how often who does not lead looks whether it may
LEADER_TTL_S = 300.0
SKEWS_S = (0.0, 0.0, -3600.0, 3600.0)  # of one controller's wall clock
PAUSE_S = 2.0  # a burst of news is one tick


class SimCalls:
    """The simulation's `core.ports.Calls`: each slow call is a task of the controller's process."""

    def __init__(self, runtime: Runtime, wake: Callable[[], None]) -> None:
        self._runtime = runtime
        self._wake = wake
        self._in_flight: dict[Call, None] = {}
        self._done: list[CallDone] = []

    def start(self, call: Call, run: Callable[[], CallDone]) -> bool:
        if call in self._in_flight:
            return False
        self._in_flight[call] = None
        self._runtime.spawn(f"{call.kind.value} {call.key}", lambda: self._finish(run))
        return True

    def in_flight(self) -> frozenset[Call]:
        return frozenset(self._in_flight)

    def collect(self) -> list[CallDone]:
        done, self._done = self._done, []
        for one in done:
            self._in_flight.pop(one.call, None)
        return done

    def _finish(self, run: Callable[[], CallDone]) -> None:
        done = run()  # a switch: what is read before it is old after it
        self._done.append(done)
        self._wake()


class Reading:
    """Passes everything on, and tells which pointers a controller has read since it started."""

    def __init__(self, pointers: Pointers, tell: Callable[[str], None]) -> None:
        self._pointers = pointers
        self._tell = tell
        self._told: dict[str, None] = {}
        self.take_generation = pointers.take_generation
        self.hold = pointers.hold
        self.status_bodies = pointers.status_bodies
        self.jobs = pointers.jobs

    def read(self, job: Job) -> Pointer | None:
        found = self._pointers.read(job)
        if job.id not in self._told:
            self._told[job.id] = None
            self._tell(job.id)
        return found


@dataclass
class Variation:
    """What a test may swap in the real code: pure functions, the port to the cloud, the controller's pace."""

    decide: Decide = decide
    provider: Callable[[Provider], Provider] = lambda provider: provider
    pause_s: float = PAUSE_S  # between two ticks at least: with very many jobs they lie far apart


@dataclass
class ControlRoom:
    """Starts controllers, one after the other, on what outlives them."""

    clock: SimClock
    history: History
    network: Network
    api: CloudApi
    bucket: BucketServer
    store: MemoryStore
    door: Door
    hosts: dict[str, Host]
    variation: Variation = field(default_factory=Variation)
    place: str = CONTROLLER
    process: Process | None = None
    births: int = 0

    def start(self) -> None:
        """A new controller process; it knows what the store knows."""
        self.births += 1
        name = f"{self.place}/{self.births}"
        skew_s = self.clock.stream(f"skew {name}").choice(SKEWS_S)
        process = self.process = self.clock.process(name, skew_s)
        runtime = ProcessRuntime(process, self.clock.stream(name))
        process.on_death.append(lambda: self._died(process))
        process.spawn("main", lambda: self._run(process, runtime))

    def start_again(self) -> None:
        """Unless somebody did already."""
        if self.process is None or not self.process.alive:
            self.start()

    def _died(self, process: Process) -> None:
        crash = "" if process.crash is None else f"{type(process.crash).__name__}: {process.crash}"
        self.history.record(self.clock.now_s, ProcessDied(process.name, process.death, crash))

    def _run(self, process: Process, runtime: ProcessRuntime) -> None:
        alarm = runtime.mailbox()
        nodes = NodeRegistry(runtime, lambda: alarm.put("news"), RHYTHM.gap_max_s)
        controller = self._controller(process, runtime, alarm, nodes)
        self.door.open(Listener(self.place, process, nodes, self._admits, controller.leading))
        while True:
            wait_s = controller.tick()
            alarm.get(max(wait_s, TICK_MIN_S if controller.leading() else WATCH_S))
            runtime.sleep(self.variation.pause_s)
            while alarm.get(0.0) is not None:
                pass

    def _controller(
        self, process: Process, runtime: ProcessRuntime, alarm: Mailbox, nodes: NodeRegistry
    ) -> Controller:
        def wake() -> None:
            alarm.put("news")

        due = Due(wake)
        runtime.spawn("schedule", lambda: self._schedule(runtime, due))
        cloud: SimCloud = self.api.cloud
        provider = self.variation.provider(SimProvider(self.api, self.network, runtime, self.place))
        bucket = functools.partial(self._open_bucket, process.name)
        pointers = BucketPointers(bucket, runtime)
        parts = Parts(
            clock=runtime,
            store=self.store,
            nodes=nodes,
            calls=SimCalls(runtime, wake),
            pointers=Reading(pointers, lambda job: self._read_pointer(process, job)),
            providers={NAME: provider},
            remotes={NAME: SimRemote(cloud, self.network, self._install, self.place)},
            decide=self.variation.decide,
            policies={"cheapest": cheapest},
            limits=_limits,
            node=NodeSettings("https://controller", LEASE_S, KEY),
            due=due,
            holder=runtime.token(8),
            sleep=runtime.sleep,
            rhythm=RHYTHM,
            leader_ttl_s=LEADER_TTL_S,
        )
        return Controller(parts, threading.Event())

    def _schedule(self, runtime: Runtime, due: Due) -> None:
        """What apscheduler does in the product: marks work as due."""
        while True:
            runtime.sleep(600.0)
            for work in EVERY_S:
                due.mark(work)

    def _install(self, machine: Machine, config: AgentConfig) -> None:
        self.hosts[machine.id].install(config)

    def _open_bucket(self, by: str, _storage: str, prefix: str) -> SimBucket:
        return SimBucket(self.bucket, self.network, self.place, by, prefix)

    def _read_pointer(self, process: Process, job: str) -> None:
        self.history.record(self.clock.now_s, PointerKnown(process.name, job))

    def _admits(self, launch_id: str, job: str) -> bool:
        return self.store.knows_node(launch_id, job)


def _limits(_clouds: Sequence[str]) -> Limits:
    return LIMITS
