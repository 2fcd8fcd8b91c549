"""A short day of a whole world in which faults come together that a long one seldom has at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from outlast.bucket.outputs import INDEX
from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import Asked, Instance, Job, Restart, Wanted
from outlast_orchestrator.core.view import EndProof
from outlast_orchestrator.simulate.bucket import BucketTrouble
from outlast_orchestrator.simulate.checkers.base import machine_of, pointer_in
from outlast_orchestrator.simulate.checkers.claim_late import ClaimLate
from outlast_orchestrator.simulate.clock import Process
from outlast_orchestrator.simulate.cloud import Machine
from outlast_orchestrator.simulate.history import Fact, Fault, StoreWrote, Wrote
from outlast_orchestrator.simulate.host import Host
from outlast_orchestrator.simulate.network import BUCKET, CONTROLLER, STANDBY
from outlast_orchestrator.simulate.plan import LONGER
from outlast_orchestrator.simulate.world import HOUR_S, World

PLAN = replace(LONGER, jobs=2, fewest_jobs=2, hours=8.0, busy_hours=3.0, faults=4, standby=1.0)
COMBINATIONS = 12
CONTROLLERS = (CONTROLLER, STANDBY)


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
        self._cut(host.machine, self._harsh.choice((400.0, 500.0)), *CONTROLLERS, BUCKET)

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
        self._cut(host.machine, 600.0, *CONTROLLERS)

        def freeze() -> None:
            process.freeze()
            self.clock.after(seconds, process.thaw)

        process.trip(self._harsh.randrange(1, 40), freeze)

    def _controller_is_blind(self, host: Host) -> None:
        """It can't read the bucket, and a node can be heard nowhere else."""
        seconds = self._harsh.choice((700.0, 1500.0))
        for place in CONTROLLERS:
            self.network.cut(place, BUCKET, seconds)
        self._cut(host.machine, seconds + 600.0, *CONTROLLERS)

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

    def restart(self, job: str) -> None:
        known = self.store.job(job)
        if known is None or known.wanted is not Wanted.RUN or not self.store.lives(job):
            return
        again = Restart(known.restart.number + 1)
        wished = replace(known, restart=again, wanted_number=known.wanted_number + 1)
        self.store.wish(wished, Event(Kind.JOB_RESTART, "somebody wants a restart", job))

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
        elif isinstance(fact, StoreWrote) and self._dice.random() < 0.1:
            if any(isinstance(row, Instance) and row.asked is Asked.INTENDED for row in fact.rows):
                self._sleep_before_the_call(fact.by)
        elif isinstance(fact, Wrote) and fact.key.endswith("/latest.json"):
            pointer = pointer_in(fact.body)
            if pointer.state is PointerState.RELEASED and self._dice.random() < 0.7:
                self._not_wanted(pointer.job)
            elif self._dice.random() < 0.05 and pointer.state is PointerState.RUNNING and pointer.seq > 2:
                # A claim or an advance, and nothing more from that process for a while.
                self._freeze(fact.by, self._dice.choice((100.0, 2000.0)))

    def _not_wanted(self, job: str) -> None:
        """Its successor's claim is late, and it is not wanted any more by then."""
        world = self._world

        def wish() -> None:
            wanted_s = self._dice.uniform(1.0, 10.0)
            if self._dice.random() < 0.3:
                world.clock.after(wanted_s, lambda: world.wish(job, Wanted.PAUSED))
                world.clock.after(wanted_s + 60.0, lambda: world.wish(job, Wanted.RUN))
            else:
                world.clock.after(wanted_s, lambda: world.restart(job))

        for host in world.hosts.values():
            if host.machine.alive and host.machine.request.job == job:
                self._write_late(host, wish)

    def _write_late(self, host: Host, then: Callable[[], None]) -> None:
        """The next pointer that it writes arrives long after it has stopped waiting for the answer."""

        def late() -> None:
            self._world.storm(0.5, BucketTrouble(late=1.0, late_s_max=60.0))
            then()

        if host.agent is not None:
            host.agent.ambush("replace", 0, late)

    def _sleep_before_the_call(self, by: str) -> None:
        """The intent is saved; the call comes when another controller leads, and the token is old."""
        world = self._world
        for room in world.rooms:
            process = room.process
            if process is not None and process.name == by and process.alive and not process.frozen:
                self._freeze_later(process, self._dice.randrange(1, 6))

    def _freeze_later(self, process: Process, crossings: int) -> None:
        def freeze() -> None:
            process.freeze()
            self._world.clock.after(2500.0, process.thaw)

        process.trip(crossings, freeze)

    def _end_late(self, machine: str) -> None:
        """The outputs are there, the end comes next: its write is late, and its machine is gone by then."""
        world, cloud = self._world, self._world.cloud.machines[machine]
        job = cloud.request.job
        if job in self._ended or self._dice.random() < 0.3:
            return
        self._ended.add(job)

        def die() -> None:
            world.clock.after(2.0, lambda: world.cloud.end(cloud, EndProof.HOST, "its host died"))

        self._write_late(world.hosts[machine], die)

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
