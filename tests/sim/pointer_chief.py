"""The controller and the people of the pointer's world: who may claim, who is closed, what is wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from tests.sim.made_up import attempt as made_up_attempt
from tests.sim.made_up import job as made_up_job
from tests.sim.pointer_writer import JOB, OWNER, Life

from outlast.bucket.generations import take_generation
from outlast.ports import BucketError
from outlast.protocol.limits import LEASE_MARGIN_S, LEASE_S
from outlast.protocol.messages import Permission, WriterRef
from outlast.protocol.objects import ManifestRef, Pointer, PointerState, job_prefix, pin_key
from outlast_orchestrator.core.types import Attempt, Job, Progress
from outlast_orchestrator.simulate.bucket import BucketServer, SimBucket
from outlast_orchestrator.simulate.clock import Dice, SimClock
from outlast_orchestrator.simulate.disk import NodeDisk
from outlast_orchestrator.simulate.history import History, StoreWrote
from outlast_orchestrator.simulate.network import Network
from outlast_orchestrator.simulate.runtime import ProcessRuntime

EARLY_SHARE = 0.02  # a replacement that comes before its time, at each look
SECOND_SHARE = 0.3  # another one beside the one that waits, when nobody runs
TWIN_SHARE = 0.15  # two machines come up for one launch
ROLL_BACK_SHARE = 0.02


class Realm(Protocol):
    """The world as the chief needs it."""

    clock: SimClock
    history: History
    network: Network
    bucket: BucketServer
    dice: Dice
    lives: list[Life]
    contact_s: dict[str, float]

    def pointer(self) -> Pointer | None: ...

    def birth(self, life: Life) -> None: ...

    def end(self, life: Life) -> None:
        """Its machine dies."""


class Chief:
    """Takes generations, lets one attempt after the other claim, and closes only whom it may."""

    def __init__(self, realm: Realm) -> None:
        self._realm = realm
        self._closed: tuple[tuple[int, str], ...] = ()
        self._durable: int | None = None
        self._back_to: ManifestRef | None = None  # somebody wants to go on from there
        self._continued_s: dict[str, float] = {}  # ended writer → when it may be continued
        self._wishes = 0

    def run(self, runtime: ProcessRuntime) -> None:
        realm = self._realm
        bucket = SimBucket(realm.bucket, realm.network, "controller", "controller", job_prefix(JOB))
        while True:
            runtime.sleep(20.0 + 20.0 * runtime.uniform())
            pointer = realm.pointer()
            if pointer is None and self._durable is not None:
                runtime.sleep(200.0)  # somebody took it away: trying is for the claimers to refuse
            if pointer is not None:
                self._read(pointer)
            self._close_the_lost(pointer)
            if self._wants_another(pointer):
                self._plan(runtime, bucket)

    def permission(self, life: Life) -> Permission:
        """As it would be answered now."""
        pointer = self._realm.pointer()
        over = None
        ended = pointer is not None and pointer.state is PointerState.ENDED
        if pointer is not None and ended and pointer.writer == life.free:
            over = WriterRef(pointer.generation, pointer.writer)
        closed = tuple(WriterRef(*pair) for pair in self._closed)
        return Permission(closed, over, self._back_to, self._durable)

    # what it makes of the pointer

    def _read(self, pointer: Pointer) -> None:
        if pointer.head is not None:
            self._durable = pointer.head.step
        if pointer.state is PointerState.ENDED:
            self._give_free(pointer)
        self._roll_back(pointer)

    def _give_free(self, pointer: Pointer) -> None:
        """A failure is read and may be continued; after a success somebody has to want more."""
        now_s, dice = self._realm.clock.now_s, self._realm.dice
        if pointer.writer not in self._continued_s:
            wait_s = 0.0 if pointer.exit_code else dice.uniform(300.0, 1500.0)
            self._continued_s[pointer.writer] = now_s + wait_s
        if now_s < self._continued_s[pointer.writer]:
            return
        if pointer.exit_code == 0 and not any(life.free == pointer.writer for life in self._realm.lives):
            self._wishes += 1
            self._stored(replace(made_up_job(), id=JOB, wanted_number=self._wishes))
        for life in self._realm.lives:
            if life.generation > pointer.generation and life.free != pointer.writer:
                life.free = pointer.writer
                self._stored(_row(life))

    def _roll_back(self, pointer: Pointer) -> None:
        """Holds the checkpoint, drains whoever runs when the hold is listed, then lets claim from it."""
        realm, chosen = self._realm, self._back_to
        if chosen is None:
            past = [ref for ref in pointer.kept if ref != pointer.head]
            if past and realm.dice.random() < ROLL_BACK_SHARE:
                self._back_to = realm.dice.choice(past)
                realm.bucket.write("person", _hold(self._back_to), b"roll back")
            return
        done = pointer.started_from == chosen and pointer.started_why == "chosen by a person"
        if done or chosen not in pointer.kept:
            self._back_to = None
            realm.bucket.delete("person", _hold(chosen))
        elif chosen.name in pointer.pinned:
            for life in realm.lives:
                life.drain = life.drain or life.writer == pointer.writer

    # attempts

    def _plan(self, runtime: ProcessRuntime, bucket: SimBucket) -> None:
        realm, known = self._realm, self._realm.pointer()
        at_least = 1 + max([life.generation for life in realm.lives], default=0)
        attempt = runtime.token(4)
        try:
            at_least = max(at_least, 1 + (known.generation if known else 0))
            generation = take_generation(bucket, at_least, OWNER, attempt, "now")
        except BucketError:
            return
        twins = realm.dice.random() < TWIN_SHARE
        for _ in range(2 if twins else 1):
            machine = f"m{len(realm.lives)}"
            life = Life(machine, generation, f"{machine}-{runtime.token(4)}", attempt, NodeDisk())
            realm.lives.append(life)
            self._stored(_row(life))
            realm.birth(life)
        if twins and realm.dice.random() < 0.7:
            unlucky = realm.lives[-realm.dice.choice((1, 2))]
            realm.clock.after(realm.dice.uniform(1.0, 100.0), lambda: realm.end(unlucky))

    def _wants_another(self, pointer: Pointer | None) -> bool:
        """Another attempt, when none can go on: at most one claims, few more may wait."""
        lives, dice = self._realm.lives, self._realm.dice
        able = [life for life in lives if not life.dead and not life.over and life.births == 1]
        able = [life for life in able if not self._is_closed(life)]
        over = pointer is not None and pointer.state is not PointerState.RUNNING
        waiting = [life for life in able if pointer is None or life.generation > pointer.generation]
        if waiting:
            return over and len(waiting) < 3 and dice.random() < SECOND_SHARE
        return over or not able or dice.random() < EARLY_SHARE

    def _close_the_lost(self, pointer: Pointer | None) -> None:
        """The dead, whatever they wrote; the silent only if they own the job: nobody else is in the way."""
        realm = self._realm
        for life in realm.lives:
            silent_s = realm.clock.now_s - realm.contact_s.get(life.machine, 0.0)
            owns = pointer is not None and (pointer.generation, pointer.writer) == (
                life.generation,
                life.writer,
            )
            lost = life.dead or (owns and silent_s > LEASE_S + LEASE_MARGIN_S)
            if lost and not self._is_closed(life):
                self._closed = (*self._closed, (life.generation, life.writer))
                self._stored(Progress(JOB, closed=self._closed))

    def _is_closed(self, life: Life) -> bool:
        return (life.generation, life.writer) in self._closed

    def _stored(self, row: Attempt | Progress | Job) -> None:
        self._realm.history.record(self._realm.clock.now_s, StoreWrote("controller", (row,), ()))


def _row(life: Life) -> Attempt:
    return replace(
        made_up_attempt(life.generation), id=life.attempt, job=JOB, permission_over_ended=life.free
    )


def _hold(ref: ManifestRef) -> str:
    return job_prefix(JOB) + pin_key(ref.name) + "+roll-back"
