"""Whatever order attempts claim, commit, prune, freeze and die in: what `kept` names exists."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agent.bucket.make import JOB, OWNER, Attempt
from tests.fakes.bucket import MemoryBucket

from outlast.bucket.generations import read_pointer
from outlast.bucket.manifest import read_manifest
from outlast.bucket.outcomes import Applied, Mine
from outlast.ports import Unsure
from outlast.protocol.codec import load
from outlast.protocol.messages import Permission
from outlast.protocol.objects import POINTER_KEY, FileEntry, ManifestRef, Pointer

WAIT_S = 30.0


@dataclass
class Frozen:
    """A call that stops at its n-th request and goes on when it is told to."""

    attempt: Attempt
    thread: threading.Thread
    thaw: threading.Event

    def wake(self) -> None:
        self.thaw.set()
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive(), "the frozen call hangs"


@dataclass
class World:
    """A bucket, its attempts in the order of their generations, and what was ever listed."""

    bucket: MemoryBucket = field(default_factory=MemoryBucket)
    attempts: list[Attempt] = field(default_factory=list)
    frozen: list[Frozen] = field(default_factory=list)
    steps: int = 0
    left: set[ManifestRef] = field(default_factory=set)
    order: tuple[int, int] = (0, 0)

    def calm(self) -> MemoryBucket:
        """The same objects without faults, for the eyes of the test."""
        calm = MemoryBucket()
        calm.objects = self.bucket.objects
        return calm

    def pointer(self) -> Pointer | None:
        found = read_pointer(self.calm(), OWNER, JOB)
        return found[0] if found else None

    def watch(self) -> None:
        """Stores each pointer that is written, and checks it at that very moment."""
        store = self.bucket._store

        def checked(key: str, body: bytes) -> str:
            if key == POINTER_KEY:
                self.check(load(Pointer, body))
            return store(key, body)

        self.bucket._store = checked  # type: ignore[method-assign]

    def check(self, after: Pointer) -> None:
        assert not self.left & set(after.kept), "a checkpoint came back"
        assert (after.generation, after.seq) > self.order, "the pointer went back"
        self.order = (after.generation, after.seq)
        found = self.bucket.objects.get(POINTER_KEY)
        if found is not None:
            self.left |= set(load(Pointer, found[0]).kept) - set(after.kept)
        self.whole(after)

    def whole(self, pointer: Pointer | None) -> None:
        for ref in pointer.kept if pointer else ():
            body = self.bucket.objects[ref.key][0]
            assert body, ref.name
            for entry in read_manifest(self.calm(), ref, OWNER, JOB).files:
                assert entry.key in self.bucket.objects, f"{ref.name} lost {entry.key}"

    # what may happen

    def claim(self, number: int) -> None:
        before = [attempt.closed() for attempt in self.attempts]
        attempt = Attempt(self.bucket, len(self.attempts) + 1, keep=2 + number % 2)
        pointer = self.pointer()
        start_from = pointer.kept[0] if pointer and pointer.kept and number % 3 == 0 else None
        self.attempts.append(attempt)
        try:
            attempt.owner.claim(Permission(closed=tuple(before), start_from=start_from))
        except Unsure:
            return

    def commit(self, number: int) -> None:
        attempt = self._some(number)
        self.steps += 1
        pointer = attempt.owner.pointer
        again: tuple[FileEntry, ...] = ()
        if pointer and pointer.head and pointer.head.key in self.bucket.objects and number % 2:
            again = read_manifest(self.calm(), pointer.head, OWNER, JOB).files[:1]
        files = {f"model-{self.steps}": b"%d" % self.steps}
        draft = attempt.draft(self.steps, files=files, again=again)
        self._try(lambda: attempt.owner.commit(draft))

    def prune(self, number: int) -> None:
        self._try(self._some(number).owner.prune)

    def collect(self, number: int) -> None:
        self._try(self._some(number).owner.collect_garbage)

    def restart(self, number: int) -> None:
        attempt = self._some(number)
        attempt.restarted()
        self._try(attempt.owner.adopt)

    def deliver(self, number: int) -> None:
        self.bucket.deliver()

    def fail(self, number: int) -> None:
        kind = ("lost", "late", "dropped", "conflict")[number % 4]
        verb, key = (("replace", "latest"), ("create", "manifests/"), ("delete", ""), ("get", ""))[
            number // 4 % 4
        ]
        self.bucket.fail(kind, verb, key, times=1 + number % 7)

    def freeze(self, number: int) -> None:
        """Prunes or collects in a thread that stops at some request, perhaps for the rest of the story."""
        attempt = self._some(number)
        stopped, thaw, left = threading.Event(), threading.Event(), [number % 8]

        def run() -> None:
            self._try(attempt.owner.prune if number % 2 else attempt.owner.collect_garbage)
            stopped.set()

        thread = threading.Thread(target=run, daemon=True)

        def stop_here(verb: str, key: str) -> None:
            if threading.current_thread() is thread and not stopped.is_set():
                left[0] -= 1
                if left[0] < 0:
                    stopped.set()
                    assert thaw.wait(WAIT_S), "nobody woke the frozen call"

        self.bucket.before = stop_here
        thread.start()
        assert stopped.wait(WAIT_S), "the call neither stopped nor ended"
        self.attempts[self.attempts.index(attempt)] = _Silent(attempt)
        self.frozen.append(Frozen(attempt, thread, thaw))

    def thaw(self, number: int) -> None:
        if self.frozen:
            self.frozen.pop(number % len(self.frozen)).wake()

    def _some(self, number: int) -> Attempt:
        awake = [a for a in self.attempts if not isinstance(a, _Silent)]
        if not awake:
            self.claim(1)
            awake = self.attempts[-1:]
        return awake[-1 - number % min(len(awake), 2)]

    def _try(self, act: object) -> None:
        try:
            act()  # type: ignore[operator]
        except Unsure:
            return


class _Silent(Attempt):
    """An attempt whose only thread is frozen: nobody calls it any more."""

    def __init__(self, attempt: Attempt) -> None:
        self.generation, self.writer = attempt.generation, attempt.writer


WHAT = [
    "claim",
    "commit",
    "commit",
    "commit",
    "prune",
    "collect",
    "restart",
    "deliver",
    "fail",
    "freeze",
    "thaw",
]


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 1000)), min_size=5, max_size=40))
def test_what_kept_names_exists_in_every_state(story: list[tuple[str, int]]) -> None:
    world = World()
    world.watch()
    try:
        world.claim(1)
        for what, number in story:
            getattr(world, what)(number)
            world.whole(world.pointer())
    finally:
        for frozen in world.frozen:
            frozen.wake()
    world.bucket.faults.clear()
    world.bucket.deliver()
    world.whole(world.pointer())
    last = Attempt(world.bucket, len(world.attempts) + 1)
    outcome = last.owner.claim(Permission(closed=tuple(attempt.closed() for attempt in world.attempts)))
    assert isinstance(outcome, Applied), outcome
    assert isinstance(last.owner.commit(last.draft(world.steps + 1)), Applied)
    assert isinstance(last.owner.prune(), Mine)
    last.owner.collect_garbage()
    world.whole(world.pointer())
