"""A notice to one node of a gang costs no step, if the last save of all fits and all is calm."""

from __future__ import annotations

from dataclasses import dataclass

from outlast_orchestrator.core.types import Job
from outlast_orchestrator.simulate.checkers.base import Checker, machine_of
from outlast_orchestrator.simulate.checkers.last_save import Disturbances, fits
from outlast_orchestrator.simulate.history import (
    Fact,
    Fault,
    Launched,
    MachineEnded,
    Noticed,
    ProcessDied,
    StoreWrote,
    TrainerEnded,
    TrainerSaved,
    TrainerStarted,
)
from outlast_orchestrator.simulate.trainer import CRASHED, profile_of

MARGIN_S = 150.0  # polling, the way over the controller to the other nodes, their parts, manifest and pointer


HARMLESS = (
    "interruption", "capacity refused", "cloud throttles", "launch late", "launch reply lost",
    "listing forgets", "listing stale", "region down",
)  # fmt: skip


@dataclass
class _Leaving:
    machine: str
    until_s: float
    generation: int
    step: int | None = None


class GangNoticedLoss(Checker):
    name = "a notice to a gang costs no step"
    sees = (
        StoreWrote, Launched, Fault, Noticed, TrainerStarted, TrainerSaved, TrainerEnded, MachineEnded,
        ProcessDied,
    )  # fmt: skip

    def __init__(self, bytes_per_s: float) -> None:
        super().__init__()
        self._bytes_per_s = bytes_per_s
        self._jobs: dict[str, Job] = {}
        self._owner: dict[str, str] = {}  # machine → job
        self._alive: dict[str, dict[str, TrainerStarted]] = {}  # job → machine → its trainer
        self._leaving: dict[str, _Leaving] = {}
        self._disturbances = Disturbances()  # of a job
        self.judged = 0

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, StoreWrote):
            for row in fact.rows:
                if isinstance(row, Job):
                    self._jobs[row.id] = row
                    self._leaving.pop(row.id, None)
        elif isinstance(fact, Launched):
            self._owner[fact.machine] = fact.request.job
        elif isinstance(fact, Fault):
            self._disturb(fact)
        elif isinstance(fact, Noticed):
            self._noticed(fact)
        elif isinstance(fact, TrainerStarted):
            self._started(fact)
        elif isinstance(fact, TrainerSaved):
            if fact.bad:
                self._leaving.pop(fact.job, None)  # what is lost with it is the training's own trouble
        elif isinstance(fact, TrainerEnded):
            self._ended(fact)
        elif isinstance(fact, MachineEnded):
            self._broke(fact.machine)
        elif isinstance(fact, ProcessDied):
            self._died(machine_of(fact.process))

    def _disturb(self, fault: Fault) -> None:
        """Whatever else is wrong, for the controller too, which passes the notice on. What an interruption
        does to machines is told by them, and the cloud has no part in a save."""
        if fault.kind in HARMLESS:
            return
        job = self._owner.get(fault.machine, "")
        self._disturbances.note(job, max(fault.until_s, self.now_s))
        for other in [job] if job else list(self._leaving):
            self._leaving.pop(other, None)

    def _died(self, machine: str) -> None:
        if not machine:
            self._leaving.clear()  # a controller
            self._disturbances.note("", self.now_s + MARGIN_S)
        else:
            self._broke(machine)

    def _broke(self, machine: str) -> None:
        """An end that comes while one still trains is bad luck, but for the one that was announced."""
        job = self._owner[machine]
        leaving = self._leaving.get(job)
        if leaving is None or not self._alive.get(job):
            return
        if machine != leaving.machine or self.now_s < leaving.until_s:
            self._leaving.pop(job, None)

    def _noticed(self, notice: Noticed) -> None:
        job = self._jobs.get(self._owner[notice.machine])
        if job is None or job.nodes == 1:
            return
        if notice.deadline_s is None or job.id in self._leaving:
            self._leaving.pop(job.id, None)  # two at a time, or one taken back: not judged
            return
        trainers = self._alive.get(job.id, {})
        generations = {start.generation for start in trainers.values()}
        left_s, profile = notice.deadline_s - self.now_s, profile_of(job.work.run)
        ready = len(trainers) == job.nodes and len(generations) == 1 and notice.machine in trainers
        in_time = fits(profile, left_s, self._bytes_per_s, MARGIN_S)
        if ready and in_time and self._disturbances.calm(job.id, self.now_s):
            self._leaving[job.id] = _Leaving(notice.machine, notice.deadline_s, generations.pop())

    def _ended(self, end: TrainerEnded) -> None:
        self._alive.get(end.job, {}).pop(end.machine, None)
        leaving = self._leaving.get(end.job)
        if leaving is None or end.generation != leaving.generation:
            return
        if end.code == CRASHED or end.done or end.bad:
            del self._leaving[end.job]
            return
        leaving.step = max(end.step, leaving.step or 0)

    def _started(self, start: TrainerStarted) -> None:
        self._alive.setdefault(start.job, {})[start.machine] = start
        leaving = self._leaving.get(start.job)
        if leaving is None or leaving.step is None or start.generation <= leaving.generation:
            return
        self.judged += 1
        del self._leaving[start.job]
        if start.step < leaving.step:
            lost = leaving.step - start.step
            self.broken(f"{start.job}: {lost} steps were lost to the notice on {leaving.machine}")
