"""One job's bucket in a bad world: the real pointer, upload, restore and prune code, and nothing else.

A chief stands for the controller: it takes generations, lets one attempt after the other claim, closes
whom it knows to be dead or silent beyond the lease. Writers stand for agents: they claim, restore, save,
prune, release or end; they are killed, restarted on the same disk, and frozen at any touch of the world.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.sim.pointer_writer import JOB, OWNER, Life, Writer

from outlast.bucket.generations import take_generation
from outlast.bucket.owner import PointerOwner
from outlast.ports import BucketError
from outlast.protocol.codec import load
from outlast.protocol.limits import LEASE_MARGIN_S, LEASE_S
from outlast.protocol.messages import Permission, WriterRef
from outlast.protocol.objects import POINTER_KEY, Pointer, PointerState, job_prefix, pin_key
from outlast_orchestrator.core.types import Progress
from outlast_orchestrator.simulate.bucket import BucketServer, BucketTrouble, SimBucket
from outlast_orchestrator.simulate.checkers.base import Checker, Violation
from outlast_orchestrator.simulate.checkers.closing import Closing
from outlast_orchestrator.simulate.checkers.crashes import Crashes
from outlast_orchestrator.simulate.checkers.fenced import Fenced
from outlast_orchestrator.simulate.checkers.registry import bucket_checkers
from outlast_orchestrator.simulate.checkers.resume import Resume
from outlast_orchestrator.simulate.clock import Process, SimClock
from outlast_orchestrator.simulate.disk import NodeDisk
from outlast_orchestrator.simulate.history import (
    Fault,
    History,
    MachineEnded,
    ProcessDied,
    StoreWrote,
    TrainerEnded,
)
from outlast_orchestrator.simulate.network import BUCKET, Network
from outlast_orchestrator.simulate.runtime import ProcessRuntime

HOURS = 4.0
FAULT_EVERY_S = 400.0

Allow = Callable[[Permission, "Pointer | None"], Permission]


class PointerWorld:
    def __init__(
        self,
        seed: int,
        owner: type[PointerOwner] = PointerOwner,
        allow: Allow = lambda permission, _pointer: permission,
    ) -> None:
        self.clock = SimClock(seed)
        self.history = History()
        self.network = Network(self.clock)
        self.bucket = BucketServer(self.clock, self.history)
        self.bucket.calm = BucketTrouble(0.002, 0.002, 0.004, 0.002)
        self.owner = owner
        self.allow = allow
        self.dice = self.clock.stream("plan")
        self.contact_s: dict[str, float] = {}
        self.lives: list[Life] = []
        self.closed: tuple[tuple[int, str], ...] = ()
        self.trouble_until_s = 0.0
        self.faults: dict[str, int] = {}
        self.checkers: list[Checker] = [
            *bucket_checkers(), Resume(), Closing(self.contact_s), Fenced(self.able_since_s), Crashes(),
        ]  # fmt: skip
        for checker in self.checkers:
            self.history.add(checker)

    def run(self, hours: float = HOURS) -> list[Violation]:
        chief = self.clock.process("controller")
        runtime = ProcessRuntime(chief, self.clock.stream("controller"))
        chief.spawn("main", lambda: self._chief(runtime))
        self.clock.after(300.0, self._fault)
        self.clock.after(900.0, self._pin)
        for hour in range(int(hours)):
            self.clock.run((hour + 1) * 3600.0)
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

    # the chief

    def _chief(self, runtime: ProcessRuntime) -> None:
        bucket = SimBucket(self.bucket, self.network, "controller", "controller", job_prefix(JOB))
        while True:
            runtime.sleep(20.0 + 20.0 * runtime.uniform())
            self._close_the_lost(runtime)
            if not self._wants_another():
                continue
            known = self.pointer()
            at_least = 1 + max([life.generation for life in self.lives], default=0)
            attempt = runtime.token(4)
            try:
                generation = take_generation(
                    bucket, max(at_least, 1 + (known.generation if known else 0)), OWNER, attempt, "now"
                )
            except BucketError:
                continue
            machine = f"m{len(self.lives)}"
            life = Life(machine, generation, f"{machine}-{runtime.token(4)}", attempt, NodeDisk())
            self.lives.append(life)
            self._birth(life)

    def _wants_another(self) -> bool:
        """Another attempt, when none can go on: at most one claims, one more may wait."""
        able = [
            life for life in self.lives if not life.dead and life.births == 1 and not self._is_closed(life)
        ]
        pointer = self.pointer()
        over = pointer is not None and pointer.state is not PointerState.RUNNING
        waiting = [life for life in able if pointer is None or life.generation > pointer.generation]
        if waiting:
            return False
        return over or not able or self.dice.random() < 0.02  # a replacement that comes before its time

    def _close_the_lost(self, runtime: ProcessRuntime) -> None:
        for life in self.lives:
            silent_s = self.clock.now_s - self.contact_s.get(life.machine, 0.0)
            started = life.machine in self.contact_s
            lost = life.dead or (started and silent_s > LEASE_S + LEASE_MARGIN_S)
            if lost and not self._is_closed(life):
                self.closed = (*self.closed, (life.generation, life.writer))
                self.history.record(
                    self.clock.now_s,
                    StoreWrote("controller", (Progress(JOB, closed=self.closed),), ()),
                )

    def _is_closed(self, life: Life) -> bool:
        return (life.generation, life.writer) in self.closed

    def permission(self) -> Permission:
        pointer = self.pointer()
        over = None
        if pointer is not None and pointer.state is PointerState.ENDED and pointer.exit_code != 0:
            over = WriterRef(pointer.generation, pointer.writer)
        return self.allow(Permission(tuple(WriterRef(*pair) for pair in self.closed), over), pointer)

    # the writers

    def _birth(self, life: Life) -> None:
        if life.dead:
            return
        life.births += 1
        name = f"agent/{life.machine}/{life.births}"
        process = life.process = self.clock.process(name, self.dice.uniform(-3600.0, 3600.0))
        process.on_death.append(lambda: self._died(life, process))
        writer = Writer(self, life, ProcessRuntime(process, self.clock.stream(name)), name)
        process.spawn("main", writer.run)

    def _died(self, life: Life, process: Process) -> None:
        crash = "" if process.crash is None else repr(process.crash)
        self.history.record(self.clock.now_s, ProcessDied(process.name, process.death, crash))
        self.stop_training(life)
        if not life.dead:
            self.clock.after(10.0, lambda: self._birth(life))

    def stop_training(self, life: Life) -> None:
        if life.training:
            life.training = False
            ended = TrainerEnded(life.machine, JOB, life.generation, life.step, None)
            self.history.record(self.clock.now_s, ended)

    def contact(self, machine: str, sent_s: float) -> None:
        self.contact_s[machine] = max(sent_s, self.contact_s.get(machine, 0.0))

    # faults

    def _fault(self) -> None:
        self.clock.after(self.dice.expovariate(1 / FAULT_EVERY_S), self._fault)
        living = [life for life in self.lives if not life.dead]
        if not living:
            return
        kind = self.dice.choice(("host", "agent", "freeze", "freeze", "storm", "late", "cut"))
        life = self.dice.choice(living)
        self.faults[kind] = self.faults.get(kind, 0) + 1
        self.history.record(self.clock.now_s, Fault(kind, life.machine, life.machine))
        crossings = self.dice.randrange(1, 12)
        seconds = self.dice.choice((40.0, 400.0, 4000.0))
        if kind == "host":
            self._when(life, crossings, lambda: self._end(life))
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

    def _end(self, life: Life) -> None:
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
