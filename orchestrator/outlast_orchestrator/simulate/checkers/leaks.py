"""No instance is forgotten: at the end in peace every machine has ended or serves a job that wants it."""

from __future__ import annotations

from outlast_orchestrator.core.types import OVER, Instance, InstancePhase, JobState, Progress
from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.history import (
    STORE_RESTORED,
    Fact,
    Fault,
    Launched,
    MachineEnded,
    StoreWrote,
)


class Leaks(Checker):
    name = "no instance is forgotten"
    sees = (Fault, Launched, MachineEnded, StoreWrote)

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[str, Launched] = {}
        self._records: dict[str, Instance] = {}
        self._states: dict[str, JobState] = {}

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Fault) and fact.kind == STORE_RESTORED:
            self._records.clear()
            self._states.clear()
        elif isinstance(fact, Launched):
            self._alive[fact.machine] = fact
        elif isinstance(fact, MachineEnded):
            self._alive.pop(fact.machine, None)
        elif isinstance(fact, StoreWrote):
            for row in fact.rows:
                if isinstance(row, Instance):
                    self._records[row.launch_id] = row
                elif isinstance(row, Progress):
                    self._states[row.job] = row.state

    def finish(self, at_s: float) -> None:
        self.now_s = at_s
        for machine, launched in self._alive.items():
            request = launched.request
            record = self._records.get(request.launch_id)
            if record is None or record.phase is InstancePhase.GONE:
                self.broken(f"{machine} ({request.token}) still runs and no record names it")
                continue
            if record.id and record.id != machine:
                self.broken(f"{machine} ({request.token}) still runs beside {record.id} of the same launch")
            state = self._states.get(request.job, JobState.PENDING)
            if state in OVER or state is JobState.PAUSED:
                self.broken(f"{machine} ({request.token}) still runs, but its job is {state.value}")
