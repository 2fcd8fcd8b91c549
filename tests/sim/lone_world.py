"""Lone agents in a bad world: the real `agent run` code, a bucket, machines that stand by for one another.

Agents are killed, frozen at any touch of the world and cut off from the bucket, told to leave, and started
again by whatever starts them. There is no controller: the bucket is all that they have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from outlast.alone.judge import Done, margin_s
from outlast.alone.link import OWNER, LoneLink
from outlast.loop import Agent
from outlast.node_ports import Node, NoticeSeen
from outlast.protocol.codec import load
from outlast.protocol.limits import LEASE_S
from outlast.protocol.messages import CheckpointPlan, Work
from outlast.protocol.objects import POINTER_KEY, Pointer, PointerState, job_prefix
from outlast.view import Identity
from outlast_orchestrator.simulate.bucket import BucketServer, BucketTrouble, SimBucket
from outlast_orchestrator.simulate.checkers.base import Checker, Move, Violation, job_of, path_of
from outlast_orchestrator.simulate.checkers.claims import Claims
from outlast_orchestrator.simulate.checkers.crashes import Crashes
from outlast_orchestrator.simulate.checkers.fenced import Fenced
from outlast_orchestrator.simulate.checkers.registry import bucket_checkers
from outlast_orchestrator.simulate.clock import Process, SimClock
from outlast_orchestrator.simulate.disk import (
    NodeDisk,
    SimDisk,
    SimLogs,
    SimOutputs,
    SimSaves,
    SimWorkplace,
)
from outlast_orchestrator.simulate.history import Fact, History, ProcessDied, Wrote
from outlast_orchestrator.simulate.network import BUCKET, Network
from outlast_orchestrator.simulate.runtime import ProcessRuntime
from outlast_orchestrator.simulate.trainer import Profile, SimTrainer
from outlast_orchestrator.simulate.world import PACE

JOB = "lone"
PROFILE = Profile(JOB, steps=480, step_s=30.0, save_every=10)
WORK = Work(JOB, OWNER, 1, PROFILE.command(), outputs=("model.txt",), checkpoint=CheckpointPlan(keep=3))
BUSY_HOURS, HOURS = 8.0, 24.0
FAULT_EVERY_S = 600.0
LOOK_EVERY_S = 30.0


class LivingOnes(Checker):
    """Nobody is taken over who has shown a sign of life in the bucket at least once a lease."""

    name = "no claim over one that shows signs of life"
    sees = (Wrote,)

    def __init__(self) -> None:
        super().__init__()
        self._signs: dict[int, list[float]] = {}  # generation → when its status or its pointer changed

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Wrote) and job_of(fact.key) == JOB and path_of(fact.key).startswith("status/g"):
            generation = int(path_of(fact.key).removeprefix("status/g").partition("-")[0])
            self._signs.setdefault(generation, []).append(self.now_s)

    def moved(self, move: Move) -> None:
        before, after = move.before, move.after
        claimed = before is not None and before.generation != after.generation
        if claimed and before is not None and before.state is PointerState.RUNNING:
            self._judge(move.by, before.generation)
        self._signs.setdefault(after.generation, []).append(self.now_s)

    def _judge(self, by: str, generation: int) -> None:
        signs = [*self._signs.get(generation, []), self.now_s]
        longest_s = max((later - one for one, later in pairwise(signs)), default=0.0)
        if longest_s < LEASE_S + margin_s(LEASE_S):
            self.broken(
                f"{by} claimed over generation {generation}, silent for {longest_s:.0f} s at the most"
            )


class Quiet:
    """The ports `NoticeSource` and `Power` of a person's own machine."""

    def poll(self) -> tuple[NoticeSeen, ...]:
        return ()

    def off(self, why: str) -> None:
        raise AssertionError(f"a person's machine was switched off: {why}")


class Place:
    """A machine, its disk, and whatever starts `agent run` there again and again."""

    def __init__(self, world: LoneWorld, name: str) -> None:
        self.world, self.name = world, name
        self.dice = world.clock.stream(name)
        self.disk = NodeDisk()
        self.trainer = SimTrainer(world.clock, world.history, name, self.disk, self.dice)
        self.process: Process | None = None
        self.agent: Agent | None = None
        self.thawed_s = 0.0
        self.starts = 0
        self.ends: list[Done | int] = []

    def start(self) -> None:
        world, clock = self.world, self.world.clock
        self.starts += 1
        name = f"agent/{self.name}/{self.starts}"
        process = self.process = clock.process(name, skew_s=self.dice.uniform(-3600.0, 3600.0))
        process.on_death.append(lambda: self._died(process))
        runtime = ProcessRuntime(process, clock.stream(name))
        bucket = SimBucket(world.bucket, world.network, self.name, name, job_prefix(JOB))
        process.spawn("main", lambda: self._run(process, runtime, bucket))

    def _run(self, process: Process, runtime: ProcessRuntime, bucket: SimBucket) -> None:
        agents: list[Agent] = []
        link = LoneLink(
            runtime, bucket, JOB, WORK, lease_s=LEASE_S, restart=False, look_every_s=LOOK_EVERY_S,
            stop=lambda: agents[0].shutdown(), show=lambda _: None, note=lambda *_: None,
        )  # fmt: skip
        identity = Identity(JOB, OWNER, self.name, runtime.token(4))
        agents.append(
            Agent(identity, runtime, link, bucket, self._node(), lease_s=LEASE_S, pace=PACE, alone=True)
        )
        self.agent = agents[0]
        code = self.agent.run()
        self.ends.append(code if link.done is None else link.done)
        process.kill("its command is over")

    def _node(self) -> Node:
        clock, disk = self.world.clock, self.disk
        return Node(
            trainer=self.trainer,
            workplace=SimWorkplace(clock, disk, setup_s=1.0),
            saves=SimSaves(clock, disk),
            notices=Quiet(),
            outputs=SimOutputs(clock, disk),
            logs=SimLogs(disk),
            disk=SimDisk(clock, disk),
            power=Quiet(),
        )

    def _died(self, process: Process) -> None:
        clock = self.world.clock
        crash = "" if process.crash is None else f"{type(process.crash).__name__}: {process.crash}"
        self.world.history.record(clock.now_s, ProcessDied(process.name, process.death, crash))
        self.trainer.vanish("its agent died")
        self.agent = None
        clock.after(self.dice.uniform(5.0, 1800.0), self.start)

    # what befalls it

    def freeze(self, seconds: float) -> None:
        """Its agent alone: the trainer goes on, with nobody to look after it."""
        process = self.process
        if process is not None and process.alive and not process.frozen:
            process.freeze()
            self.world.clock.after(seconds, lambda: self._thaw(process))

    def _thaw(self, process: Process) -> None:
        self.thawed_s = self.world.clock.now_s
        process.thaw()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill("killed")

    def leave(self) -> None:
        if self.agent is not None:
            self.agent.shutdown(60.0)


class LoneWorld:
    def __init__(self, seed: int) -> None:
        self.clock = SimClock(seed)
        self.history = History(keep_digest=True)
        self.network = Network(self.clock)
        self.bucket = BucketServer(self.clock, self.history)
        self.bucket.calm = BucketTrouble(0.002, 0.002, 0.004, 0.002)
        self.dice = self.clock.stream("plan")
        self.trouble_until_s = 0.0
        self.ended_s = 0.0
        self.faults: dict[str, int] = {}
        self.places = [Place(self, f"p{number}") for number in range(self.dice.randint(2, 3))]
        kept = [checker for checker in bucket_checkers() if not isinstance(checker, Claims)]
        self.checkers: list[Checker] = [*kept, LivingOnes(), Fenced(self.able_since_s), Crashes()]
        for checker in self.checkers:
            self.history.add(checker)

    def run(self, hours: float = HOURS) -> list[Violation]:
        for place in self.places:
            self.clock.after(self.dice.choice((0.0, self.dice.uniform(0.0, 3600.0))), place.start)
        self.clock.after(FAULT_EVERY_S, self._fault)
        for quarter in range(int(hours * 4)):
            self.clock.run((quarter + 1) * 900.0)
            if self.violations() or self._over():
                break
        self.clock.close()
        return self.violations()

    def violations(self) -> list[Violation]:
        found = [violation for checker in self.checkers for violation in checker.violations]
        return sorted(found, key=lambda violation: violation.at_s)

    def pointer(self) -> Pointer | None:
        body = self.bucket.peek(job_prefix(JOB) + POINTER_KEY)
        return None if body is None else load(Pointer, body)

    def _over(self) -> bool:
        """The end was written, and everybody has had time to hear of it, or to do harm."""
        pointer = self.pointer()
        if pointer is None or pointer.state is not PointerState.ENDED:
            return False
        self.ended_s = self.ended_s or self.clock.now_s
        return self.clock.now_s > self.ended_s + 3600.0

    def able_since_s(self, machine: str) -> float:
        place = next(place for place in self.places if place.name == machine)
        if place.process is None or place.process.frozen:
            return self.clock.now_s
        cut_s = self.network.opens_at_s(machine, BUCKET)
        return max(place.thawed_s, min(self.trouble_until_s, self.clock.now_s), min(cut_s, self.clock.now_s))

    def _fault(self) -> None:
        if self.clock.now_s > BUSY_HOURS * 3600.0:
            return
        place, dice = self.dice.choice(self.places), self.dice
        deeds: dict[str, Callable[[], None]] = {
            "kill": place.kill,
            "freeze": lambda: place.freeze(dice.choice((60.0, 700.0, 1500.0, 4000.0))),
            "kill at a touch": lambda: self._trap(place, place.kill),
            "freeze at a touch": lambda: self._trap(
                place, lambda: place.freeze(dice.choice((700.0, 2500.0)))
            ),
            "leave": place.leave,
            "cut": lambda: self.network.cut(place.name, BUCKET, dice.choice((120.0, 500.0, 900.0, 2500.0))),
            "bad weather": self._weather,
        }
        kind = dice.choice(list(deeds))
        deeds[kind]()
        self.faults[kind] = self.faults.get(kind, 0) + 1
        self.clock.after(dice.expovariate(1.0 / FAULT_EVERY_S), self._fault)

    def _trap(self, place: Place, deed: Callable[[], None]) -> None:
        if place.process is not None and place.process.alive:
            place.process.trip(self.dice.randint(1, 400), deed)

    def _weather(self) -> None:
        seconds = self.dice.uniform(60.0, 900.0)
        self.bucket.worsen(seconds, BucketTrouble(0.1, 0.1, 0.1, 0.05))
        self.trouble_until_s = max(self.trouble_until_s, self.clock.now_s + seconds)
