"""An attempt in the pointer's world: what an agent does with its bucket, in one task, with the real code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from outlast.bucket.outcomes import Applied, Fenced, Identity, Mine, Over, Rebase, Wait
from outlast.bucket.owner import PointerOwner
from outlast.ports import BucketError
from outlast.protocol.limits import POINTER_LOOK_EVERY_S
from outlast.protocol.messages import Permission
from outlast.protocol.objects import Confidence, Manifest, ManifestRef, checkpoint_name, job_prefix
from outlast.restore import NothingRestorable, Restored, restore_chain
from outlast.save.types import StableCopy, StableFile
from outlast.save.upload import upload
from outlast_orchestrator.simulate.bucket import BucketServer, SimBucket
from outlast_orchestrator.simulate.clock import Process, SimClock
from outlast_orchestrator.simulate.disk import CHECKPOINTS, BytesSource, Files, NodeDisk, SimSink
from outlast_orchestrator.simulate.history import History, TrainerStarted
from outlast_orchestrator.simulate.network import Network
from outlast_orchestrator.simulate.runtime import ProcessRuntime
from outlast_orchestrator.simulate.trainer import Profile, checkpoint_files, next_state, read_checkpoint

T = TypeVar("T")
JOB = "j1"
HELD_UP_SHARE = 0.15
WORDS_CHANGE_STEPS = 25
OWNER = "owner-1"


@dataclass
class Life:
    """One attempt's machine as it really is."""

    machine: str
    generation: int
    writer: str
    attempt: str
    disk: NodeDisk
    births: int = 0
    free: str = ""  # writer of the ended attempt that it may continue
    over: bool = False  # its agent has nothing more to do
    drain: bool = False  # it is asked to release
    process: Process | None = None
    dead: bool = False
    thawed_s: float = 0.0
    training: bool = False
    step: int = 0


class Ground(Protocol):
    """The world as a writer needs it."""

    clock: SimClock
    history: History
    network: Network
    bucket: BucketServer

    def contact(self, machine: str, sent_s: float) -> None: ...

    def stop_training(self, life: Life) -> None: ...


class Writer:
    def __init__(
        self,
        world: Ground,
        life: Life,
        runtime: ProcessRuntime,
        name: str,
        permission: Callable[[], Permission],
    ) -> None:
        self._world = world
        self._life = life
        self._runtime = runtime
        self._permission = permission
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
        self._live()
        self._world.stop_training(self._life)
        self._life.over = True

    def _live(self) -> None:
        owner = self._owner
        if self._life.births > 1:
            self._after_a_restart()
            return
        if not self._claim():
            return
        if self._runtime.uniform() < 0.5:
            self._patiently(owner.collect_garbage)
        try:
            step, state = self._restore()
        except NothingRestorable:
            if isinstance(self._patiently(owner.look), Fenced):
                return  # superseded while it was frozen: what its claim named is pruned by now
            raise
        self._train(step, state)

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
            permission = self._permission()
            # The answer was under way, or this process was held up: what it allows may be past by now.
            held_s = self._runtime.uniform()
            self._runtime.sleep(held_s * 2000.0 if held_s < HELD_UP_SHARE else held_s)
            verdict = self._patiently(lambda permission=permission: self._owner.claim(permission))  # type: ignore[misc]
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
            if not self._save(step, self._files(step, state)):
                return
            luck = runtime.uniform()
            if luck < 0.02 or life.drain:
                self._world.stop_training(life)
                self._patiently(lambda: self._owner.release("test"))
                return
            if luck < 0.09:
                self._world.stop_training(life)
                self._end(0 if luck < 0.06 else 1)
                return

    def _end(self, code: int) -> None:
        self._patiently(lambda: self._owner.end(code, "test"))

    def _files(self, step: int, state: str) -> Files:
        """Besides: one that changes back and forth, and one that no other attempt writes alike."""
        words = b"words " * (50 if step // WORDS_CHANGE_STEPS % 2 else 60)
        mine = f"{step} by {self._life.writer}".encode()
        return {
            **checkpoint_files(self._profile, step, state),
            "words.txt": words,
            "rng.bin": mine,
        }

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
