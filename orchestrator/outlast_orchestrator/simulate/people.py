"""The people of the world: they submit jobs, pause, resume, restart and cancel them, at bad moments too."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from outlast.protocol.messages import CheckpointPlan, Work
from outlast_orchestrator.core.errors import StoreError
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import Job, Market, Restart, RetryPlan, Want, Wanted
from outlast_orchestrator.simulate.clock import SimClock
from outlast_orchestrator.simulate.runtime import WALL_START_S
from outlast_orchestrator.simulate.store import MemoryStore
from outlast_orchestrator.simulate.trainer import OUTPUT, Profile


class People:
    def __init__(self, clock: SimClock, store: MemoryStore, busy_until_s: float) -> None:
        self._clock = clock
        self._store = store
        self._dice = clock.stream("people")
        self._busy_until_s = busy_until_s
        self.acts = 0

    def plan(self, jobs: int) -> None:
        """Who wants what, and when: drawn at the beginning, so that one seed is one plan."""
        dice = self._dice
        for number in range(jobs):
            job = self._job(f"job-{number}")
            begin_s = dice.uniform(0.0, 0.6 * self._busy_until_s)
            self._clock.at(begin_s, self._submit(job))
            for _ in range(dice.choice((0, 0, 1, 1, 2))):
                moment_s = dice.uniform(begin_s + 60.0, self._busy_until_s)
                if dice.random() < 0.6:
                    self._clock.at(moment_s, self._wish(job.id, Wanted.PAUSED))
                    away_s = dice.choice((20.0, 600.0, 7200.0))
                    self._clock.at(moment_s + away_s, self._wish(job.id, Wanted.RUN))
                elif dice.random() < 0.7:
                    self._clock.at(moment_s, self._restart(job.id, now=dice.random() < 0.3))
                else:
                    self._clock.at(moment_s, self._wish(job.id, Wanted.CANCELLED))

    def _job(self, name: str) -> Job:
        dice = self._dice
        profile = Profile(
            job=name,
            steps=dice.randrange(40, 160),
            step_s=dice.choice((20.0, 45.0, 90.0)),
            save_every=dice.choice((5, 10, 20)),
            save_s=round(dice.uniform(1.0, 12.0), 1),
            size=dice.choice((1000, 3000, 8000)),
            polls=dice.random() < 0.8,
            deaf=dice.random() < 0.15,
            crashes=dice.choice((0.0, 0.0, 0.0, 0.001)),
        )
        work = Work(
            name=name,
            owner=self._store.owner(),
            revision=1,
            run=profile.command(),
            outputs=(OUTPUT,),
            checkpoint=CheckpointPlan(every_s=dice.choice((None, 600.0)), keep=dice.choice((1, 2, 3))),
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
        )

    def _submit(self, job: Job) -> Callable[[], None]:
        return lambda: self._store.submit(job, Event(Kind.JOB_SUBMITTED, "submitted", job.id))

    def _wish(self, job: str, wanted: Wanted) -> Callable[[], None]:
        def act() -> None:
            known = self._store.job(job)
            if known is None or known.wanted is wanted or known.wanted is Wanted.CANCELLED:
                return
            self._say(dataclasses.replace(known, wanted=wanted, wanted_by="somebody"), Kind.JOB_WANTED)

        return act

    def _restart(self, job: str, *, now: bool) -> Callable[[], None]:
        def act() -> None:
            known = self._store.job(job)
            if known is not None and known.wanted is Wanted.RUN and self._store.lives(job):
                restart = Restart(known.restart.number + 1, now=now)
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
