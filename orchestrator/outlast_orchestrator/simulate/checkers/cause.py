"""No relaunch without cause: a job gets a new attempt only when something happened to the last one."""

from __future__ import annotations

import math
from collections.abc import Mapping

from outlast.protocol.limits import LEASE_S
from outlast_orchestrator.core.types import Attempt, Instance, InstancePhase, Job
from outlast_orchestrator.simulate.checkers.base import Checker, machine_of, path_of
from outlast_orchestrator.simulate.history import (
    Fact,
    LaunchAnswered,
    LaunchAsked,
    Launched,
    MachineEnded,
    Noticed,
    ProcessDied,
    StoreWrote,
    TrainerEnded,
    TrainerStarted,
    Wrote,
)

IDLE_STATUS = "status/idle-"


class Cause(Checker):
    """Collects what happened since the newest attempt was planned; each cause is for one new attempt."""

    name = "no relaunch without cause"
    sees = (
        Launched, LaunchAsked, LaunchAnswered, MachineEnded, Noticed, TrainerEnded, TrainerStarted,
        ProcessDied, Wrote, StoreWrote,
    )  # fmt: skip

    def __init__(self, contact_s: Mapping[str, float], told_s: Mapping[str, float]) -> None:
        super().__init__()
        self._contact_s = contact_s
        self._told_s = told_s
        self._readable_s: dict[str, float] = {}  # machine → its last status of an attempt in the bucket
        self._idle: set[str] = set()  # machines that now leave a status of no attempt there
        self._newest: dict[str, Attempt] = {}
        self._causes: dict[str, list[str]] = {}
        self._jobs: dict[str, str] = {}  # machine → job
        self._alive: dict[str, str] = {}  # machine → job
        self._ended: set[str] = set()  # launch ids
        self._noticed_s: dict[str, float] = {}  # launch id → until when its notice stood
        self._planned_s: dict[str, float] = {}  # job → when its newest attempt was planned
        self._launches: dict[str, str] = {}  # machine → launch id
        self._born_s: dict[str, float] = {}
        self._left: set[str] = set()  # jobs whose last trainer has ended by itself
        self._asked: dict[str, str] = {}  # token → job
        self._gangs: set[str] = set()
        self.relaunches = 0

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Launched):
            self._jobs[fact.machine] = self._alive[fact.machine] = fact.request.job
            self._launches[fact.machine] = fact.request.launch_id
            self._born_s[fact.machine] = self.now_s
        elif isinstance(fact, MachineEnded):
            self._alive.pop(fact.machine, None)
            self._ended.add(self._launches[fact.machine])
            self._because(self._jobs[fact.machine], fact.why)
        elif isinstance(fact, Noticed):
            stands = fact.deadline_s is not None
            self._noticed_s[self._launches[fact.machine]] = math.inf if stands else self.now_s
            self._because(self._jobs[fact.machine], "notice")
        elif isinstance(fact, TrainerEnded) and fact.code is not None:
            self._left.add(fact.job)
            self._because(fact.job, f"trainer exited with {fact.code}")
        elif isinstance(fact, TrainerEnded) and fact.bad:
            self._because(fact.job, "its state was lost")
        elif isinstance(fact, TrainerStarted):
            self._left.discard(fact.job)
        elif isinstance(fact, ProcessDied):
            parts = fact.process.split("/")
            if parts[0] == "agent":
                self._because(self._jobs[parts[1]], "the agent died")
        elif isinstance(fact, LaunchAsked):
            self._asked[fact.request.token] = fact.request.job
        elif isinstance(fact, LaunchAnswered) and fact.answer != "accepted":
            if self._asked[fact.token] in self._gangs:
                self._because(self._asked[fact.token], "a machine of the gang could not be had")
        elif isinstance(fact, Wrote):
            self._status(machine_of(fact.by), path_of(fact.key))
        elif isinstance(fact, StoreWrote):
            for row in fact.rows:
                if isinstance(row, Job):
                    self._because(row.id, "a person's wish")
                    (self._gangs.add if row.nodes > 1 else self._gangs.discard)(row.id)
                elif isinstance(row, Attempt):
                    self._attempt(row)
            for row in fact.rows:
                if isinstance(row, Instance) and row.phase is InstancePhase.GONE:
                    self._written_off(row)

    def _status(self, machine: str, path: str) -> None:
        if path.startswith(IDLE_STATUS):
            self._idle.add(machine)
        elif machine and path.startswith("status/"):
            self._idle.discard(machine)
            self._readable_s[machine] = self.now_s

    def _written_off(self, row: Instance) -> None:
        """A launch that was never carried out, because its caller died or slept. Nothing happened to a
        machine, but the attempt that still waits for this one may be given up for the next."""
        newest = self._newest.get(row.job)
        waits = newest is not None and row.launch_id in newest.launches
        if waits and row.launch_id not in self._launches.values():
            self._because(row.job, "its machine never came to be")

    def _because(self, job: str, why: str) -> None:
        self._causes.setdefault(job, []).append(why)

    def _attempt(self, attempt: Attempt) -> None:
        job, last = attempt.job, self._newest.get(attempt.job)
        if last is not None and attempt.generation < last.generation:
            return
        self._newest[job] = attempt
        if last is not None and attempt.generation == last.generation:
            if last.open and not attempt.open and self._silent(job):
                self._because(job, "it was silent when it was closed")  # and may have woken since
            return
        causes, planned_s = self._causes.pop(job, []), self._planned_s.get(job, 0.0)
        self._planned_s[job] = self.now_s
        if last is None:
            return
        self.relaunches += 1
        # A machine may have been lost, or noticed, before the last attempt was planned on it, unknown to
        # the controller.
        lost = any(
            launch in self._ended or self._noticed_s.get(launch, -1.0) >= planned_s
            for launch in last.launches
        )
        # The last one was planned for a notice and sent away when that was withdrawn: too late for the
        # trainer, which had left. That cause went to an attempt that never came about.
        sent_away = not last.open and not last.claimed and job in self._left
        if not causes and not lost and not sent_away and not self._silent(job):
            self.broken(f"{job}: generation {attempt.generation} was planned, and nothing had happened")

    def _silent(self, job: str) -> bool:
        """A machine that could not write anywhere for the whole lease is cause enough."""
        return any(
            self.now_s - max(self._heard_s(machine), self._born_s[machine]) >= LEASE_S
            for machine, owner in self._alive.items()
            if owner == job
        )

    def _heard_s(self, machine: str) -> float:
        """A node that has not heard of its attempt leaves its status where no controller looks for one: it
        keeps its own lease with that. Cut off from the controllers it can't be told to begin either."""
        if machine not in self._idle:
            return self._contact_s.get(machine, 0.0)
        return max(self._told_s.get(machine, 0.0), self._readable_s.get(machine, 0.0))
