"""One job's bucket in a bad world: the real pointer, upload, restore and prune code, and nothing else.

A chief stands for the controller: it takes generations, lets one attempt after the other claim, closes
whom it knows to be dead or silent beyond the lease. Writers stand for agents: they claim, restore, save,
prune, release or end; they are killed, restarted on the same disk, and frozen at any touch of the world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from outlast.bucket.generations import take_generation
from outlast.bucket.outcomes import Applied, Identity, Mine, Over, Rebase, Wait
from outlast.bucket.owner import PointerOwner
from outlast.ports import BucketError
from outlast.protocol.codec import load
from outlast.protocol.limits import LEASE_MARGIN_S, LEASE_S, POINTER_LOOK_EVERY_S
from outlast.protocol.messages import Permission, WriterRef
from outlast.protocol.objects import (
    POINTER_KEY,
    Confidence,
    Manifest,
    ManifestRef,
    Pointer,
    PointerState,
    checkpoint_name,
    job_prefix,
    pin_key,
)
from outlast.restore import Restored, restore_chain
from outlast.save.types import StableCopy, StableFile
from outlast.save.upload import upload
from outlast_orchestrator.core.types import Progress
from outlast_orchestrator.simulate.bucket import BucketServer, BucketTrouble, SimBucket
from outlast_orchestrator.simulate.checkers.base import Checker, Violation
from outlast_orchestrator.simulate.checkers.chain import Chain
from outlast_orchestrator.simulate.checkers.claims import Claims
from outlast_orchestrator.simulate.checkers.closing import Closing
from outlast_orchestrator.simulate.checkers.closure import Closure
from outlast_orchestrator.simulate.checkers.crashes import Crashes
from outlast_orchestrator.simulate.checkers.fenced import Fenced
from outlast_orchestrator.simulate.checkers.forward import Forward
from outlast_orchestrator.simulate.checkers.generations import Generations
from outlast_orchestrator.simulate.checkers.one_way import OneWay
from outlast_orchestrator.simulate.checkers.one_writer import OneWriter
from outlast_orchestrator.simulate.checkers.overwrites import Overwrites
from outlast_orchestrator.simulate.checkers.resume import Resume
from outlast_orchestrator.simulate.clock import Process, ProcessRuntime, SimClock
from outlast_orchestrator.simulate.disk import CHECKPOINTS, BytesSource, Files, NodeDisk, SimSink
from outlast_orchestrator.simulate.history import (
    Fault,
    History,
    MachineEnded,
    ProcessDied,
    StoreWrote,
    TrainerEnded,
    TrainerStarted,
)
from outlast_orchestrator.simulate.network import BUCKET, Network
from outlast_orchestrator.simulate.trainer import Profile, checkpoint_files, next_state, read_checkpoint

T = TypeVar("T")
JOB = "j1"
OWNER = "owner-1"
SAVE_EVERY_S = 60.0
HOURS = 24.0


@dataclass
class Life:
    """One attempt's machine as it really is."""

    machine: str
    generation: int
    writer: str
    attempt: str
    disk: NodeDisk
    births: int = 0
    process: Process | None = None
    dead: bool = False
    thawed_s: float = 0.0
    training: bool = False
    step: int = 0


class PointerWorld:
    def __init__(self, seed: int) -> None:
        self.clock = SimClock(seed)
        self.history = History()
        self.network = Network(self.clock)
        self.bucket = BucketServer(self.clock, self.history)
        self.bucket.calm = BucketTrouble(0.002, 0.002, 0.004, 0.002)
        self.dice = self.clock.stream("plan")
        self.contact_s: dict[str, float] = {}
        self.lives: list[Life] = []
        self.closed: tuple[tuple[int, str], ...] = ()
        self.trouble_until_s = 0.0
        self.faults: dict[str, int] = {}
        self.checkers: list[Checker] = [
            Closure(), OneWriter(), Generations(), Forward(), Chain(), OneWay(), Overwrites(), Claims(),
            Resume(), Closing(self.contact_s), Fenced(self.able_since_s), Crashes(),
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
        return Permission(tuple(WriterRef(*pair) for pair in self.closed), over)

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
        self.clock.after(self.dice.expovariate(1 / 900.0), self._fault)
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


class Writer:
    """What an agent does with its bucket, in one task."""

    def __init__(self, world: PointerWorld, life: Life, runtime: ProcessRuntime, name: str) -> None:
        self._world = world
        self._life = life
        self._runtime = runtime
        self._bucket = SimBucket(
            world.bucket,
            world.network,
            life.machine,
            name,
            job_prefix(JOB),
            lambda sent_s: world.contact(life.machine, sent_s),
        )
        me = Identity(OWNER, JOB, life.generation, life.writer, life.attempt)
        self._owner = PointerOwner(runtime, self._bucket, me, lambda *_: None, keep=3)
        self._profile = Profile(job=JOB, size=2000)
        self._base: tuple[ManifestRef, Manifest] | None = None

    def run(self) -> None:
        owner = self._owner
        if self._life.births > 1:
            self._after_a_restart()
            return
        if not self._claim():
            return
        if self._runtime.uniform() < 0.5:
            self._patiently(owner.collect_garbage)
        step, state = self._restore()
        self._train(step, state)
        self._world.stop_training(self._life)

    def _after_a_restart(self) -> None:
        """Its trainer died with it: it brings home what was made, and gives the job back."""
        for _ in range(20):
            verdict = self._patiently(self._owner.look)
            if isinstance(verdict, Mine):
                self._patiently(self._owner.adopt)
                self._patiently(lambda: self._owner.release("its agent was started again"))
                return
            if not isinstance(verdict, Wait):
                return
            self._runtime.sleep(60.0)  # a late claim of its earlier life may still arrive

    def _claim(self) -> bool:
        while True:
            # Asked for anew at every try, as the controller answers now.
            verdict = self._patiently(lambda: self._owner.claim(self._world.permission()))
            if not isinstance(verdict, Wait):
                return isinstance(verdict, Applied)
            self._runtime.sleep(5.0)

    def _restore(self) -> tuple[int, str]:
        life, pointer = self._life, self._owner.pointer
        assert pointer is not None
        sink = SimSink(self._world.clock, life.disk)
        restored = self._patiently(
            lambda: restore_chain(self._runtime, self._bucket, pointer, sink, lambda *_: None)
        )
        step, state = 0, ""
        if isinstance(restored, Restored):
            step, state = read_checkpoint(life.disk.folders[f"{CHECKPOINTS}/{restored.ref.name}"])
            self._base = (restored.ref, restored.manifest)
        life.training, life.step = True, step
        start = TrainerStarted(life.machine, JOB, life.generation, step, state)
        self._world.history.record(self._world.clock.now_s, start)
        return step, state

    def _train(self, step: int, state: str) -> None:
        runtime, life = self._runtime, self._life
        while True:
            for _ in range(2):
                runtime.sleep(POINTER_LOOK_EVERY_S * (0.8 + 0.2 * runtime.uniform()))
                if not isinstance(self._patiently(self._owner.look), Mine):
                    return
            for _ in range(5):
                step += 1
                state = next_state(JOB, step, state)
            life.step = step
            if not self._save(step, checkpoint_files(self._profile, step, state)):
                return
            luck = runtime.uniform()
            if luck < 0.02:
                self._world.stop_training(life)
                self._patiently(lambda: self._owner.release("test"))
                return
            if luck < 0.03:
                self._world.stop_training(life)
                self._patiently(lambda: self._owner.end(1, "test"))
                return

    def _save(self, step: int, files: Files) -> bool:
        stable = tuple(StableFile(path, BytesSource(body)) for path, body in sorted(files.items()))
        copy = StableCopy(step, "simulated", Confidence.STRONG, stable, lambda: None)
        for _ in range(10):
            name = checkpoint_name(step, self._life.generation, self._runtime.token(4))
            draft = self._patiently(
                lambda name=name: upload(  # type: ignore[misc]
                    self._bucket, self._runtime, copy, name, self._base, lambda _done, _all: None
                )
            )
            verdict = self._patiently(lambda draft=draft: self._owner.commit(draft))  # type: ignore[misc]
            if isinstance(verdict, Rebase):
                self._base = None
                continue
            if isinstance(verdict, Applied):
                return not isinstance(self._patiently(self._owner.prune), Over)
            return isinstance(verdict, Mine)
        raise AssertionError("ten rebases in a row")

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Again and again while the bucket gives no answer; a fenced writer learns it by looking."""
        while True:
            try:
                return ask()
            except BucketError:  # noqa: PERF203  # waiting is what it is for
                self._runtime.sleep(5.0 + 5.0 * self._runtime.uniform())
                if self._life.training and not self._still_mine():
                    self._world.stop_training(self._life)

    def _still_mine(self) -> bool:
        try:
            return isinstance(self._owner.look(), (Mine, Wait))
        except BucketError:
            return True
