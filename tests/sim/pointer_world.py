"""One job's bucket in a bad world: the real pointer, upload, restore and prune code, and nothing else.

A chief stands for the controller and the people. Writers stand for agents: they claim, restore, save,
prune, release or end; they are killed, restarted on the same disk, and frozen at any touch of the world.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.sim.pointer_chief import Chief
from tests.sim.pointer_writer import JOB, Life, Writer

from outlast.ports import Blob
from outlast.protocol.codec import load
from outlast.protocol.objects import POINTER_KEY, Pointer, job_prefix, pin_key
from outlast_orchestrator.simulate.bucket import BucketServer, BucketTrouble
from outlast_orchestrator.simulate.checkers.base import Checker, Violation, machine_of, pointer_in
from outlast_orchestrator.simulate.checkers.closing import Closing
from outlast_orchestrator.simulate.checkers.crashes import Crashes
from outlast_orchestrator.simulate.checkers.fenced import Fenced
from outlast_orchestrator.simulate.checkers.registry import bucket_checkers
from outlast_orchestrator.simulate.clock import Process, SimClock
from outlast_orchestrator.simulate.history import (
    Fact,
    Fault,
    History,
    MachineEnded,
    ProcessDied,
    TrainerEnded,
    Wrote,
)
from outlast_orchestrator.simulate.network import BUCKET, Network
from outlast_orchestrator.simulate.runtime import ProcessRuntime

HOURS = 4.0
FAULT_EVERY_S = 400.0


class LossyServer(BucketServer):
    """A bucket whose objects people can take away behind everybody's back."""

    def take_away(self, key: str) -> Blob | None:
        return self._objects.pop(key, None)

    def put_back(self, key: str, blob: Blob) -> None:
        self._objects.setdefault(key, blob)


class PointerWorld:
    def __init__(self, seed: int) -> None:
        self.clock = SimClock(seed)
        self.history = History(keep_digest=True)
        self.network = Network(self.clock)
        self._lossy = LossyServer(self.clock, self.history)
        self.bucket: BucketServer = self._lossy
        self.bucket.calm = BucketTrouble(0.002, 0.002, 0.004, 0.002)
        self.dice = self.clock.stream("plan")
        self.contact_s: dict[str, float] = {}
        self.lives: list[Life] = []
        self.chief = Chief(self)
        self.trouble_until_s = 0.0
        self.faults: dict[str, int] = {}
        self.checkers: list[Checker] = [
            *bucket_checkers(), Closing(self.contact_s), Fenced(self.able_since_s), Crashes(),
        ]  # fmt: skip
        for checker in self.checkers:
            self.history.add(checker)
        self.history.add(self)

    def run(self, hours: float = HOURS) -> list[Violation]:
        chief = self.clock.process("controller")
        runtime = ProcessRuntime(chief, self.clock.stream("controller"))
        chief.spawn("main", lambda: self.chief.run(runtime))
        self.clock.after(300.0, self._fault)
        self.clock.after(900.0, self._pin)
        if self.dice.random() < 0.3:
            self.clock.after(self.dice.uniform(3600.0, 10000.0), self._lose_pointer)
        for quarter in range(int(hours * 4)):
            self.clock.run((quarter + 1) * 900.0)
            if self.violations():
                break
        self.clock.close()
        return self.violations()

    def violations(self) -> list[Violation]:
        found = [violation for checker in self.checkers for violation in checker.violations]
        return sorted(found, key=lambda violation: violation.at_s)

    def able_since_s(self, machine: str) -> float:
        """Since when it runs and reaches the bucket; a frozen one is not able to anything yet."""
        life = next(life for life in self.lives if life.machine == machine)
        if life.process is None or life.process.frozen:
            return self.clock.now_s
        cut_s = self.network.opens_at_s(machine, BUCKET)
        return max(life.thawed_s, min(self.trouble_until_s, self.clock.now_s), min(cut_s, self.clock.now_s))

    def pointer(self) -> Pointer | None:
        body = self.bucket.peek(job_prefix(JOB) + POINTER_KEY)
        return None if body is None else load(Pointer, body)

    # the writers

    def birth(self, life: Life) -> None:
        if life.dead:
            return
        life.births += 1
        name = f"agent/{life.machine}/{life.births}"
        process = life.process = self.clock.process(name, self.dice.uniform(-3600.0, 3600.0))
        process.on_death.append(lambda: self._died(life, process))
        runtime = ProcessRuntime(process, self.clock.stream(name))
        writer = Writer(self, life, runtime, name, lambda: self.chief.permission(life))
        process.spawn("main", writer.run)

    def _died(self, life: Life, process: Process) -> None:
        crash = "" if process.crash is None else repr(process.crash)
        self.history.record(self.clock.now_s, ProcessDied(process.name, process.death, crash))
        self.stop_training(life)
        if not life.dead:
            self.clock.after(10.0, lambda: self.birth(life))

    def stop_training(self, life: Life) -> None:
        if life.training:
            life.training = False
            ended = TrainerEnded(life.machine, JOB, life.generation, life.step, None)
            self.history.record(self.clock.now_s, ended)

    def contact(self, machine: str, sent_s: float) -> None:
        self.contact_s[machine] = max(sent_s, self.contact_s.get(machine, 0.0))

    # faults

    def see(self, at_s: float, fact: Fact) -> None:
        """Bad luck that comes right after a manifest or a pointer was written."""
        if not isinstance(fact, Wrote) or not machine_of(fact.by):
            return
        claimed = False
        if fact.key.endswith(POINTER_KEY):
            before = None if fact.before is None else pointer_in(fact.before).generation
            claimed = before != pointer_in(fact.body).generation
        elif "/manifests/" not in fact.key:
            return
        if self.dice.random() < (0.3 if claimed else 0.05):
            life = next(life for life in self.lives if life.machine == machine_of(fact.by))
            kind = self.dice.choice(("freeze",) if claimed else ("agent", "agent", "freeze"))
            self.clock.at(at_s, lambda: self._strike(kind, life, self.dice.randrange(1, 6)))

    def _fault(self) -> None:
        self.clock.after(self.dice.expovariate(1 / FAULT_EVERY_S), self._fault)
        living = [life for life in self.lives if not life.dead]
        if not living:
            return
        kind = self.dice.choice(("host", "agent", "freeze", "freeze", "storm", "late", "cut"))
        self._strike(kind, self.dice.choice(living), self.dice.randrange(1, 12))

    def _strike(self, kind: str, life: Life, crossings: int) -> None:
        self.faults[kind] = self.faults.get(kind, 0) + 1
        self.history.record(self.clock.now_s, Fault(kind, life.machine, life.machine))
        seconds = self.dice.choice((40.0, 400.0, 4000.0))
        if kind == "host":
            self._when(life, crossings, lambda: self.end(life))
        elif kind == "agent":
            self._when(life, crossings, lambda: self._kill_agent(life))
        elif kind == "freeze":
            self._when(life, crossings, lambda: self._freeze(life, seconds))
        elif kind == "cut":
            self.network.cut(life.machine, BUCKET, seconds)
        else:
            self.trouble_until_s = self.clock.now_s + 300.0
            rough = BucketTrouble(0.1, 0.1, 0.2, 0.3 if kind == "late" else 0.0)
            self.bucket.worsen(300.0, rough)

    def _when(self, life: Life, crossings: int, action: Callable[[], None]) -> None:
        if life.process is not None:
            life.process.trip(crossings, action)

    def _kill_agent(self, life: Life) -> None:
        if life.process is not None:
            life.process.kill("killed")

    def end(self, life: Life) -> None:
        life.dead = True
        self.history.record(self.clock.now_s, MachineEnded(life.machine, "host died"))
        self._kill_agent(life)

    def _freeze(self, life: Life, seconds: float) -> None:
        process = life.process
        if process is None or process.frozen:
            return
        process.freeze()

        def thaw() -> None:
            life.thawed_s = self.clock.now_s
            process.thaw()

        self.clock.after(seconds, thaw)

    def _pin(self) -> None:
        self.clock.after(1800.0, self._pin)
        pointer = self.pointer()
        if pointer is not None and pointer.kept:
            key = job_prefix(JOB) + pin_key(self.dice.choice(pointer.kept).name)
            if self.bucket.peek(key) is None:
                self.bucket.write("person", key, b"keep it")
            else:
                self.bucket.delete("person", key)

    def _lose_pointer(self) -> None:
        """Somebody takes it away, and puts it back when they see what they did."""
        key = job_prefix(JOB) + POINTER_KEY
        lost = self._lossy.take_away(key)
        if lost is None:
            return
        self.faults["pointer lost"] = 1

        def put_back() -> None:
            self._lossy.put_back(key, lost)

        self.clock.after(self.dice.choice((100.0, 1500.0)), put_back)
