"""A noticed loss costs no step, if the last save fits into the time and nothing else goes wrong."""

from __future__ import annotations

from dataclasses import dataclass

from outlast_orchestrator.core.types import Job
from outlast_orchestrator.simulate.checkers.base import Checker, Move, machine_of
from outlast_orchestrator.simulate.checkers.last_save import Disturbances, fits
from outlast_orchestrator.simulate.history import (
    Fact,
    Fault,
    MachineEnded,
    Noticed,
    ProcessDied,
    StoreWrote,
    TrainerEnded,
    TrainerSaved,
    TrainerStarted,
)
from outlast_orchestrator.simulate.trainer import Profile, profile_of

MARGIN_S = 75.0  # polling, margins before the deadline, manifest and pointer


@dataclass
class _Leaving:
    """A trainer that was noticed in time, and how far it came."""

    job: str
    until_s: float
    step: int | None = None


class NoticedLoss(Checker):
    name = "a noticed loss costs no step"
    sees = (
        StoreWrote, Fault, Noticed, TrainerStarted, TrainerSaved, TrainerEnded, MachineEnded, ProcessDied,
    )  # fmt: skip

    def __init__(self, bytes_per_s: float) -> None:
        super().__init__()
        self._bytes_per_s = bytes_per_s
        self._profiles: dict[str, Profile] = {}
        self._alive: dict[str, TrainerStarted] = {}
        self._leaving: dict[str, _Leaving] = {}
        self._disturbances = Disturbances()
        self._gone: set[str] = set()
        self._gangs: set[str] = set()
        self._restarts: dict[str, int] = {}
        self._cut_short: set[str] = set()  # jobs to be restarted without a final save, and not started since
        self.judged = 0

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, StoreWrote):
            for row in fact.rows:
                if isinstance(row, Job):
                    self._wished(row)
        elif isinstance(fact, Fault):
            self._disturb(fact)
        elif isinstance(fact, Noticed):
            self._noticed(fact)
        elif isinstance(fact, TrainerStarted):
            self._started(fact)
        elif isinstance(fact, TrainerSaved):
            if fact.bad:
                self._leaving.pop(fact.machine, None)  # what is lost with it is the training's own trouble
        elif isinstance(fact, TrainerEnded):
            self._ended(fact)
        elif isinstance(fact, MachineEnded):
            self._gone.add(fact.machine)
        elif isinstance(fact, ProcessDied):
            self._died(machine_of(fact.process))

    def moved(self, move: Move) -> None:
        before, after = move.before, move.after
        if before is not None and before.generation != after.generation and before.head != after.head:
            self._given_up(move.job)  # a person goes back to an older checkpoint: the steps since are no loss

    def _wished(self, job: Job) -> None:
        (self._gangs.add if job.nodes > 1 else self._gangs.discard)(job.id)
        self._profiles[job.id] = profile_of(job.work.run)
        if job.restart.now and job.restart.number > self._restarts.get(job.id, 0):
            self._given_up(job.id)
            self._cut_short.add(job.id)
        self._restarts[job.id] = job.restart.number

    def _given_up(self, job: str) -> None:
        for machine in [m for m, leaving in self._leaving.items() if leaving.job == job]:
            del self._leaving[machine]

    def _disturb(self, fault: Fault) -> None:
        """Whatever else is wrong may cost a save its time: then this checker does not judge."""
        if not fault.machine and fault.kind != "bucket rough":
            return  # it is between controller and cloud: nothing that a save needs
        self._disturbances.note(fault.machine, max(fault.until_s, self.now_s))
        for machine in [m for m in self._leaving if fault.machine in ("", m) and m not in self._gone]:
            del self._leaving[machine]

    def _died(self, machine: str) -> None:
        """With the machine, after its trainer had left, is what is to be expected; before is bad luck."""
        if machine in self._leaving and self._leaving[machine].step is None:
            del self._leaving[machine]

    def _noticed(self, notice: Noticed) -> None:
        start = self._alive.get(notice.machine)
        if notice.deadline_s is None or start is None:
            self._leaving.pop(notice.machine, None)
            return
        if start.job in self._gangs:
            return  # judged by a checker of its own
        calm = self._disturbances.calm(notice.machine, self.now_s) and start.job not in self._cut_short
        left_s, profile = notice.deadline_s - self.now_s, self._profiles[start.job]
        if calm and fits(profile, left_s, self._bytes_per_s, MARGIN_S):
            self._leaving[notice.machine] = _Leaving(start.job, notice.deadline_s)

    def _ended(self, end: TrainerEnded) -> None:
        self._alive.pop(end.machine, None)
        leaving = self._leaving.get(end.machine)
        if leaving is not None and end.bad:
            del self._leaving[end.machine]
        elif leaving is not None:
            leaving.step = end.step

    def _started(self, start: TrainerStarted) -> None:
        self._alive[start.machine] = start
        self._cut_short.discard(start.job)
        for machine in list(self._leaving):
            leaving = self._leaving[machine]
            if leaving.job != start.job or leaving.step is None:
                continue
            self.judged += 1
            del self._leaving[machine]
            if start.step < leaving.step:
                lost = leaving.step - start.step
                self.broken(f"{start.job}: {lost} steps were lost on {machine}, which had notice in time")
