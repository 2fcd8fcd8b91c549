"""No healthy machine is ended: who owns the job and can write within the lease keeps its machine."""

from __future__ import annotations

from collections.abc import Mapping

from outlast.protocol.limits import LEASE_S
from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.types import Instance, InstancePhase, Job
from outlast_orchestrator.simulate.checkers.base import Checker, Move, machine_of
from outlast_orchestrator.simulate.history import (
    FROM_BACKUP,
    Fact,
    MachineEnded,
    Noticed,
    ProcessDied,
    StoreWrote,
    TerminateAsked,
    TrainerEnded,
)


class Healthy(Checker):
    """`contact_s`: when each machine's last successful write, to controller or bucket, was sent."""

    name = "no healthy machine is ended"
    sees = (StoreWrote, Noticed, TrainerEnded, ProcessDied, MachineEnded, TerminateAsked)

    def __init__(self, contact_s: Mapping[str, float]) -> None:
        super().__init__()
        self._contact_s = contact_s
        self._owners: dict[str, str] = {}  # machine → job, from its claim to its release or end
        self._reasons: dict[str, str] = {}  # machine → what happened to it since its claim
        self._announced: set[str] = set()  # machines whose notice stands, since before the claim perhaps
        self._wishes: dict[str, int] = {}  # job → how often a person wanted something
        self._ended: set[str] = set()
        # Machine → whether its lease was over when its end was decided. The decision is in the store and
        # stands until the machine is gone: its call is repeated, by the next controller too, and a node
        # that was frozen may wake meanwhile. (It is fenced by its successor; its writer stays closed.)
        self._decided: dict[str, bool] = {}

    def moved(self, move: Move) -> None:
        machine, before, after = machine_of(move.by), move.before, move.after
        for other in [m for m, job in self._owners.items() if job == move.job and m != machine]:
            self._owners.pop(other)
        if after.state is not PointerState.RUNNING:
            self._owners.pop(machine, None)
        elif before is None or (before.generation, before.writer) != (after.generation, after.writer):
            self._owners[machine] = move.job
            self._reasons.pop(machine, None)
            if machine in self._announced:
                self._reasons[machine] = "it had notice"
            self._decided.pop(machine, None)

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, StoreWrote):
            self._stored(fact)
        elif isinstance(fact, Noticed):
            self._reasons[fact.machine] = "it had notice"
            (self._announced.discard if fact.deadline_s is None else self._announced.add)(fact.machine)
        elif isinstance(fact, TrainerEnded):
            self._reasons[fact.machine] = "its trainer had ended"
        elif isinstance(fact, ProcessDied):
            self._reasons[machine_of(fact.process)] = "its agent had died"
        elif isinstance(fact, MachineEnded):
            self._ended.add(fact.machine)
        elif isinstance(fact, TerminateAsked) and fact.machine in self._owners:
            self._judge(fact)

    def _stored(self, fact: StoreWrote) -> None:
        doomed = {row.id for row in fact.rows if isinstance(row, Instance) and _is_doomed(row)}
        if fact.by == FROM_BACKUP:
            # What was decided after the backup is forgotten: should it end now, that is decided anew.
            self._decided = {machine: over for machine, over in self._decided.items() if machine in doomed}
            return
        for row in fact.rows:
            if isinstance(row, Job):
                self._wishes[row.id] = self._wishes.get(row.id, 0) + 1
        for machine in doomed & self._owners.keys():
            self._decided.setdefault(machine, self._silent_s(machine) >= LEASE_S)

    def _silent_s(self, machine: str) -> float:
        """The claim is no contact: it may arrive long after it was sent, from a node that stands still."""
        return self.now_s - self._contact_s.get(machine, 0.0)

    def _judge(self, asked: TerminateAsked) -> None:
        machine, job = asked.machine, self._owners[asked.machine]
        # A wish may be carried out on a claim that it did not foresee; submitting the job is the first one.
        wished = self._wishes.get(job, 0) > 1
        silent_s = self._silent_s(machine)
        over = silent_s >= LEASE_S or self._decided.get(machine, False)
        if machine in self._ended or machine in self._reasons or wished or over:
            return
        self.broken(
            f"{job}: {asked.by} ended {machine}, which trains and could write {silent_s:.0f} s ago, and "
            "nobody wished it"
        )


def _is_doomed(row: Instance) -> bool:
    return row.phase is InstancePhase.TERMINATING
