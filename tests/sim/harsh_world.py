"""A short day of a whole world in which faults come together that a long one seldom has at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from outlast.bucket.outputs import INDEX
from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import Job, Wanted
from outlast_orchestrator.core.view import EndProof
from outlast_orchestrator.simulate.bucket import BucketTrouble
from outlast_orchestrator.simulate.checkers.base import machine_of, pointer_in
from outlast_orchestrator.simulate.checkers.claim_late import ClaimLate
from outlast_orchestrator.simulate.cloud import Machine
from outlast_orchestrator.simulate.history import Fact, Fault, Wrote
from outlast_orchestrator.simulate.host import Host
from outlast_orchestrator.simulate.network import BUCKET, CONTROLLER
from outlast_orchestrator.simulate.plan import SHORT
from outlast_orchestrator.simulate.world import HOUR_S, World

PLAN = replace(SHORT, jobs=2, fewest_jobs=2, hours=8.0, busy_hours=3.0, faults=4, standby=1.0)
COMBINATIONS = 12


class HarshWorld(World):
    def __init__(self, seed: int) -> None:
        super().__init__(seed, PLAN)
        self._harsh = self.clock.stream("harsh")
        self._combinations: tuple[Callable[[Host], None], ...] = (
            self._lost_from_sight,
            self._controller_sleeps,
            self._controller_is_blind,
            self._change_of_mind,
            self._wish_in_a_handover,
            self._launches_in_a_storm,
        )
        for _ in range(COMBINATIONS):
            self.clock.at(self._harsh.uniform(900.0, PLAN.busy_hours * HOUR_S), self._strike)
        self.history.add(_Spite(self))
        late = ClaimLate(lambda machine: self.hosts[machine].disk.prepared)
        self.checkers.append(late)
        self.history.add(late)

    def _strike(self) -> None:
        living = [host for host in self.hosts.values() if host.machine.alive]
        if living:
            self._harsh.choice(self._combinations)(self._harsh.choice(living))

    def _told(self, kind: str, machine: str = "", seconds: float = 0.0) -> None:
        self.history.record(self.clock.now_s, Fault(kind, "together", machine, self.clock.now_s + seconds))

    def _cut(self, machine: Machine, seconds: float, *places: str) -> None:
        for place in places:
            self.network.cut(machine.id, place, seconds)
        self._told("network cut", machine.id, seconds + 60.0)

    def storm(self, seconds: float, trouble: BucketTrouble) -> None:
        self.bucket.worsen(seconds, trouble)
        until_s = self.clock.now_s + seconds + 60.0
        self.stage.rough_until_s = max(self.stage.rough_until_s, until_s)
        self._told("bucket rough", seconds=seconds + 60.0)

    # what comes together

    def _lost_from_sight(self, host: Host) -> None:
        """Nothing is heard of it for a while, and the cloud forgets to list it."""
        self._cut(host.machine, self._harsh.choice((400.0, 500.0)), CONTROLLER, BUCKET)

        def forget() -> None:
            host.machine.forgotten = 2

        self.clock.after(self._harsh.uniform(200.0, 350.0), forget)

    def _controller_sleeps(self, host: Host) -> None:
        """At any touch of the world. Another takes over, and then the first one wakes."""
        found, seconds = self.stage.any_controller(), self._harsh.choice((900.0, 2000.0))
        if found is None or found[1].frozen:
            return
        process = found[1]
        self._told("controller frozen")
        self._cut(host.machine, 600.0, CONTROLLER)

        def freeze() -> None:
            process.freeze()
            self.clock.after(seconds, process.thaw)

        process.trip(self._harsh.randrange(1, 40), freeze)

    def _controller_is_blind(self, host: Host) -> None:
        """It can't read the bucket, and a node can be heard nowhere else."""
        seconds = self._harsh.choice((700.0, 1500.0))
        self.network.cut(CONTROLLER, BUCKET, seconds)
        self._cut(host.machine, seconds + 600.0, CONTROLLER)

    def _change_of_mind(self, host: Host) -> None:
        """A notice is withdrawn while the replacement gets ready, and the bucket is slow to take writes."""
        if host.machine.interrupting:
            return
        self.cloud.interrupt(host.machine, lead_s=300.0, noticed=True)
        self._told("notice withdrawn", host.machine.id)
        self.clock.after(self._harsh.uniform(5.0, 250.0), lambda: self.cloud.withdraw(host.machine))
        self.clock.after(
            self._harsh.uniform(5.0, 150.0), lambda: self.storm(60.0, BucketTrouble(0.0, 0.1, 0.1, 0.5))
        )

    def _wish_in_a_handover(self, host: Host) -> None:
        """Somebody pauses the job while it moves, and wants it back at once."""
        job = host.machine.request.job
        self.cloud.interrupt(host.machine, lead_s=120.0, noticed=True)
        paused_s = self._harsh.uniform(20.0, 200.0)
        self.clock.after(paused_s, lambda: self.wish(job, Wanted.PAUSED))
        self.clock.after(
            paused_s + self._harsh.choice((2.0, 20.0, 120.0)), lambda: self.wish(job, Wanted.RUN)
        )

    def wish(self, job: str, wanted: Wanted) -> None:
        known: Job | None = self.store.job(job)
        if known is None or known.wanted in (wanted, Wanted.CANCELLED) or not self.store.lives(job):
            return
        wished = replace(known, wanted=wanted, wanted_by="somebody", wanted_number=known.wanted_number + 1)
        self.store.wish(wished, Event(Kind.JOB_WANTED, f"somebody wants {wanted.value}", job))

    def _launches_in_a_storm(self, host: Host) -> None:
        """A machine is lost while launches arrive late, or their answers are lost, for a long time."""
        until_s = self.clock.now_s + 2400.0
        trouble = self.api.trouble
        if self._harsh.random() < 0.5:
            trouble.late_until_s = until_s
        else:
            trouble.region_down_until_s[host.machine.request.offer.region] = until_s
            trouble.replies_lost_until_s = until_s
        self._told("launch reply lost")
        self.cloud.end(host.machine, EndProof.HOST, "its host died")


class _Spite:
    """What happens at the worst moment, because it waits for it."""

    def __init__(self, world: HarshWorld) -> None:
        self._world = world
        self._dice = world.clock.stream("spite")
        self._ended: set[str] = set()  # jobs whose end was made late once

    def see(self, at_s: float, fact: Fact) -> None:
        if isinstance(fact, Wrote) and INDEX in fact.key and b'"complete":true' in fact.body:
            self._end_late(machine_of(fact.by))
        elif isinstance(fact, Wrote) and fact.key.endswith("/latest.json"):
            pointer = pointer_in(fact.body)
            if pointer.state is PointerState.RELEASED and self._dice.random() < 0.3:
                self._pause_late(pointer.job)
            elif self._dice.random() < 0.05 and pointer.state is PointerState.RUNNING and pointer.seq > 2:
                # A claim or an advance, and nothing more from that process for a while.
                self._freeze(fact.by, self._dice.choice((100.0, 2000.0)))

    def _pause_late(self, job: str) -> None:
        """Its successor's claim is late, and it is not wanted any more by then."""
        world = self._world
        world.clock.at(
            world.clock.now_s, lambda: world.storm(20.0, BucketTrouble(late=0.8, late_s_max=400.0))
        )
        wanted_s = self._dice.uniform(3.0, 30.0)
        world.clock.after(wanted_s, lambda: world.wish(job, Wanted.PAUSED))
        world.clock.after(wanted_s + self._dice.choice((60.0, 600.0)), lambda: world.wish(job, Wanted.RUN))

    def _end_late(self, machine: str) -> None:
        """The outputs are there, the end comes next: its write is late, and its machine is gone by then."""
        world, job = self._world, self._world.cloud.machines[machine].request.job
        if job in self._ended or self._dice.random() < 0.3:
            return
        self._ended.add(job)
        storm = BucketTrouble(late=1.0, late_s_max=400.0)
        world.clock.at(world.clock.now_s, lambda: world.storm(10.0, storm))
        cloud = world.cloud.machines[machine]
        world.clock.after(15.0, lambda: world.cloud.end(cloud, EndProof.HOST, "its host died"))

    def _freeze(self, by: str, seconds: float) -> None:
        world = self._world
        host = world.hosts.get(machine_of(by))
        agent = host.agent if host is not None else None
        if host is None or agent is None or not agent.alive or agent.frozen:
            return
        machine = host.machine.id
        until_s = world.clock.now_s + seconds + 60.0
        world.history.record(world.clock.now_s, Fault("agent frozen", "after a write", machine, until_s))

        def freeze() -> None:
            agent.freeze()
            world.clock.after(seconds, lambda: host.thaw_agent(agent))

        agent.trip(1, freeze)
