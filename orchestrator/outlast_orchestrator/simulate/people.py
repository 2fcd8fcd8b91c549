"""The people of the world: they submit jobs, pause, resume, restart and cancel them, at bad moments too."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from outlast.protocol.messages import FIRST_NODE, CheckpointPlan, Work
from outlast.protocol.objects import POINTER_KEY, ManifestRef, Pointer, PointerState, pin_key
from outlast_orchestrator.core.errors import StoreError
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import Attempt, Job, Market, Restart, RetryPlan, Want, Wanted
from outlast_orchestrator.simulate.bucket import BucketServer
from outlast_orchestrator.simulate.checkers.base import pointer_in
from outlast_orchestrator.simulate.clock import SimClock
from outlast_orchestrator.simulate.gang_trainer import PARTS
from outlast_orchestrator.simulate.history import FROM_BACKUP, Fact, StoreWrote, Wrote
from outlast_orchestrator.simulate.plan import Plan
from outlast_orchestrator.simulate.runtime import WALL_START_S
from outlast_orchestrator.simulate.store import MemoryStore
from outlast_orchestrator.simulate.trainer import OUTPUT, Profile

HANDOVER_WITHIN_S = 90.0  # planned, getting ready, claiming: somebody wants something in the middle of it


class People:
    """A witness too: some act just when a job is handed over, and some wait for a pin to be listed."""

    def __init__(self, clock: SimClock, store: MemoryStore, bucket: BucketServer, plan: Plan) -> None:
        self._clock = clock
        self._store = store
        self._bucket = bucket
        self._plan = plan
        self._dice = clock.stream("people")
        self._nosy = clock.stream("people in handovers")
        self._gangs = clock.stream("gangs")
        self._busy_until_s = plan.busy_hours * 3600.0
        self._pointers: dict[str, Pointer] = {}
        self._planned: dict[str, int] = {}  # job → newest generation
        self._goes_back_to: dict[str, str] = {}  # job → the checkpoint, once its pin is listed
        self.acts = 0

    def plan(self, jobs: int) -> None:
        """Who wants what, and when: drawn at the beginning, so that one seed is one plan."""
        dice = self._dice
        for number in range(jobs):
            job = self._job(f"job-{number}")
            begin_s = dice.uniform(0.0, self._plan.begin_share * self._busy_until_s)
            self._clock.at(begin_s, self._submit(job))
            for _ in range(dice.choice((0, 0, 1, 1, 2))):
                moment_s = dice.uniform(begin_s + 60.0, self._busy_until_s)
                if dice.random() < 0.6:
                    pause = functools.partial(self._pause, job.id, dice.choice(self._plan.pauses_s))
                    self._clock.at(moment_s, pause)
                elif dice.random() < 0.7:
                    self._clock.at(moment_s, self._restart(job.id, now=dice.random() < 0.3))
                else:
                    self._clock.at(moment_s, self._wish(job.id, Wanted.CANCELLED))

    # at the worst moment

    def see(self, at_s: float, fact: Fact) -> None:
        if isinstance(fact, Wrote) and fact.key.endswith("/" + POINTER_KEY):
            self._moved(pointer_in(fact.body))
        elif isinstance(fact, StoreWrote) and fact.by != FROM_BACKUP and at_s < self._busy_until_s:
            for row in fact.rows:
                if isinstance(row, Attempt) and row.generation > self._planned.get(row.job, 1):
                    self._planned[row.job] = row.generation
                    self._handover(row.job)

    def _handover(self, job: str) -> None:
        dice = self._nosy
        if dice.random() < 0.7:
            return
        act: Callable[[], None] = dice.choice(
            (
                lambda: self._pause(job, dice.choice((2.0, 20.0, 200.0))),
                self._restart(job, now=False),
                self._restart(job, now=True),
                lambda: self._pin(job, goes_back=False),
                lambda: self._pin(job, goes_back=True),
                lambda: self._go_back(job),
            )
        )
        self._clock.after(dice.uniform(0.0, HANDOVER_WITHIN_S), act)

    def _pause(self, job: str, seconds: float) -> None:
        self._wish(job, Wanted.PAUSED)()
        self._clock.after(seconds, self._wish(job, Wanted.RUN))

    def _pin(self, job: str, *, goes_back: bool) -> None:
        """A wish in the bucket. A roll-back holds its checkpoint first, and waits until that is listed."""
        pointer = self._pointers.get(job)
        if pointer is None or not pointer.kept:
            return
        chosen = self._nosy.choice(pointer.kept)
        self._bucket.write("somebody", f"jobs/{job}/{pin_key(chosen.name)}", b"")
        self.acts += 1
        if goes_back:
            self._goes_back_to[job] = chosen.name
            self._moved(pointer)

    def _go_back(self, job: str) -> None:
        """The command: the controller itself holds the checkpoint, before it stops what runs."""
        pointer = self._pointers.get(job)
        if pointer is not None and pointer.kept:
            self._restart(job, now=self._nosy.random() < 0.3, start_from=self._nosy.choice(pointer.kept))()

    def _moved(self, pointer: Pointer) -> None:
        job = pointer.job
        self._pointers[job] = pointer
        name = self._goes_back_to.get(job, "")
        held = name in pointer.pinned
        if name and (held or pointer.state is not PointerState.RUNNING):
            del self._goes_back_to[job]
            chosen = next((ref for ref in pointer.kept if ref.name == name), None)
            if chosen is not None:
                self._clock.after(self._nosy.uniform(0.0, 30.0), self._restart(job, start_from=chosen))

    # what they want

    def _job(self, name: str) -> Job:
        dice = self._dice
        profile = Profile(
            job=name,
            steps=dice.randrange(*self._plan.steps),
            step_s=dice.choice(self._plan.step_s),
            save_every=dice.choice(self._plan.save_every),
            save_s=round(dice.uniform(1.0, 12.0), 1),
            size=dice.choice((1000, 3000, 8000)),
            polls=dice.random() < 0.8,
            deaf=dice.random() < 0.15,
            crashes=dice.choice((0.0, 0.0, 0.0, 0.001)),
        )
        nodes, parts = self._gang()
        work = Work(
            name=name,
            owner=self._store.owner(),
            revision=1,
            run=profile.command(),
            env={PARTS: parts} if parts else {},
            outputs=(OUTPUT,),
            checkpoint=dataclasses.replace(
                dice.choice((CheckpointPlan(), CheckpointPlan(every_s=600.0), CheckpointPlan(auto=True))),
                keep=dice.choice((1, 2, 3)),
                parts=parts,
            ),
        )
        return Job(
            id=name,
            name=name,
            owner=self._store.owner(),
            created_at=WALL_START_S,
            revision=1,
            want=Want(markets=dice.choice(((Market.SPOT,), (Market.SPOT, Market.ON_DEMAND)))),
            work=work,
            retry=RetryPlan(max_failures=5),
            storage="sim://bucket",
            nodes=nodes,
        )

    def _gang(self) -> tuple[int, str]:
        """On how many machines it trains, and which of them save. From dice of their own."""
        if not self._plan.nodes:
            return 1, ""
        nodes = self._gangs.choice(self._plan.nodes)
        return nodes, self._gangs.choice(("", "", FIRST_NODE)) if nodes > 1 else ""

    def _submit(self, job: Job) -> Callable[[], None]:
        return lambda: self._store.submit(job, Event(Kind.JOB_SUBMITTED, "submitted", job.id))

    def _wish(self, job: str, wanted: Wanted) -> Callable[[], None]:
        def act() -> None:
            known = self._store.job(job)
            if known is None or known.wanted is wanted or known.wanted is Wanted.CANCELLED:
                return
            self._say(dataclasses.replace(known, wanted=wanted, wanted_by="somebody"), Kind.JOB_WANTED)

        return act

    def _restart(
        self, job: str, *, now: bool = False, start_from: ManifestRef | None = None
    ) -> Callable[[], None]:
        def act() -> None:
            known = self._store.job(job)
            if known is not None and known.wanted is Wanted.RUN and self._store.lives(job):
                restart = Restart(known.restart.number + 1, start_from, now=now)
                self._say(dataclasses.replace(known, restart=restart), Kind.JOB_RESTART)

        return act

    def _say(self, job: Job, kind: Kind) -> None:
        self.acts += 1
        try:
            self._store.wish(
                dataclasses.replace(job, wanted_number=job.wanted_number + 1),
                Event(kind, f"somebody wants {job.wanted.value}", job.id),
            )
        except StoreError:
            return  # somebody else was faster
