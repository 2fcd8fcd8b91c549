"""A whole world from one seed: cloud, bucket, network, controller, machines, people, and bad luck."""

from __future__ import annotations

from outlast.cadence import Pace
from outlast.loop import Agent
from outlast.node_ports import Node
from outlast.ports import Bucket, Link, Runtime
from outlast.view import Identity
from outlast_orchestrator.core.events import Event
from outlast_orchestrator.core.ports import AgentConfig
from outlast_orchestrator.simulate.bucket import BucketServer, BucketTrouble
from outlast_orchestrator.simulate.checkers.base import Checker, Panel, Violation
from outlast_orchestrator.simulate.checkers.registry import all_checkers
from outlast_orchestrator.simulate.clock import SimClock
from outlast_orchestrator.simulate.cloud import Machine, SimCloud
from outlast_orchestrator.simulate.control import ControlRoom, Variation
from outlast_orchestrator.simulate.faults import Faults
from outlast_orchestrator.simulate.history import History, StoreWrote, Witness
from outlast_orchestrator.simulate.host import Host, Surroundings
from outlast_orchestrator.simulate.link import Door
from outlast_orchestrator.simulate.misfortune.stage import Stage
from outlast_orchestrator.simulate.network import CONTROLLER, STANDBY, Network
from outlast_orchestrator.simulate.people import People
from outlast_orchestrator.simulate.plan import DAY, Plan
from outlast_orchestrator.simulate.provider import CloudApi
from outlast_orchestrator.simulate.runtime import ProcessRuntime
from outlast_orchestrator.simulate.store import Committed, MemoryStore

__all__ = ["HOUR_S", "PACE", "Plan", "World", "run_agent"]

HOUR_S = 3600.0
# As for the controller's rhythm: the same code looks less often. What is a promise stays as it is.
PACE = Pace(
    report_every_s=80.0,
    report_again_s=10.0,
    status_every_s=120.0,
    notice_poll_s=10.0,
    log_every_s=300.0,
    scan_every_s=15.0,
    trainer_every_s=15.0,
    outputs_every_s=300.0,
    prefetch_every_s=0.0,  # it decides nothing, and would double what is fetched
    alive_every_s=120.0,
    hang_s=300.0,
    gang_every_s=10.0,
    boot_clock_every_s=15.0,
    wishes_every_s=300.0,
    freeze_s=15.0,
)


class World:
    def __init__(
        self,
        seed: int,
        plan: Plan | None = None,
        variation: Variation | None = None,
        witnesses: tuple[Witness, ...] = (),
        *,
        keep_digest: bool = False,
    ) -> None:
        self.seed = seed
        self.plan = plan if plan is not None else DAY
        self.clock = SimClock(seed)
        self.history = History(witnesses, keep_digest=keep_digest)
        self.network = Network(self.clock)
        self.cloud = SimCloud(self.clock, self.history)
        self.api = CloudApi(self.cloud)
        self.bucket = BucketServer(self.clock, self.history)
        self.bucket.calm = BucketTrouble(0.001, 0.0005, 0.0005, 0.0005)
        self.hosts: dict[str, Host] = {}
        self.chance = self.clock.stream("world")
        self.jobs = self._how_many_jobs()
        self.door = Door()
        utc = ProcessRuntime(self.clock.process("store"), self.clock.stream("store"))
        self.store = MemoryStore(utc, "owner-1", self.clock.step, self._stored)
        self.around = Surroundings(
            self.clock, self.history, self.cloud, self.network, self.bucket, self.door, run_agent,
            self.clock.stream("hosts"),
        )  # fmt: skip
        self.cloud.on_launch = self._host
        self.rooms = [self._room(place, variation or Variation()) for place in self._places()]
        self.room = self.rooms[0]
        self.stage = Stage(
            self.clock, self.history, self.network, self.bucket, self.api, self.store, self.rooms, self.hosts,
            self.plan, self.clock.stream("faults"),
        )  # fmt: skip
        self.faults = Faults(self.stage)
        self.checkers: list[Checker] = all_checkers(
            self.around.contact_s,
            self.around.told_s,
            self.faults.able_since_s,
            self.bucket.bytes_per_s,
            self._remembered,
        )
        self.history.add(Panel(self.checkers))
        self.people = People(self.clock, self.store, self.bucket, self.plan)
        self.history.add(self.people)
        self.people.plan(self.jobs)
        self.faults.plan(self.plan.faults, self.plan.busy_hours * HOUR_S)
        for room in self.rooms:
            room.start()

    def _places(self) -> list[str]:
        return [CONTROLLER, STANDBY] if self.chance.random() < self.plan.standby else [CONTROLLER]

    def _remembered(self, machine: str) -> int:
        return self.hosts[machine].disk.memory.generation if machine in self.hosts else 0

    def _how_many_jobs(self) -> int:
        """Few are more likely than many."""
        most, fewest = self.plan.jobs, min(self.plan.fewest_jobs, self.plan.jobs)
        return min(self.chance.randint(fewest, most), self.chance.randint(fewest, most))

    def _room(self, place: str, variation: Variation) -> ControlRoom:
        return ControlRoom(
            self.clock, self.history, self.network, self.api, self.bucket, self.store, self.door, self.hosts,
            variation, place,
        )  # fmt: skip

    def run(self) -> list[Violation]:
        """Lives through the whole plan, or until something is broken."""
        hours = 0.0
        while hours < self.plan.hours and not self.violations():
            hours = min(hours + 0.25, self.plan.hours)
            self.clock.run(hours * HOUR_S)
        if not self.violations():
            for checker in self.checkers:
                checker.finish(self.clock.now_s)
        self.clock.close()
        return self.violations()

    def violations(self) -> list[Violation]:
        found = [violation for checker in self.checkers for violation in checker.violations]
        return sorted(found, key=lambda violation: violation.at_s)

    def _host(self, machine: Machine) -> None:
        self.hosts[machine.id] = Host(self.around, machine)

    def _stored(self, rows: Committed, events: tuple[Event, ...]) -> None:
        process = self.clock.current()
        by = "person" if process is None else process.name
        self.history.record(self.clock.now_s, StoreWrote(by, rows, events))


def run_agent(config: AgentConfig, runtime: Runtime, link: Link, bucket: Bucket, node: Node) -> None:
    """The real agent, as `python -m outlast` would start it."""
    identity = Identity(
        config.job,
        config.owner,
        config.instance,
        runtime.token(4),
        config.cloud,
        config.region,
        config.instance_id,
    )
    Agent(identity, runtime, link, bucket, node, lease_s=config.lease_s, pace=PACE).run()
