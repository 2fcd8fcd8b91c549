"""A machine is written off as gone only when it is: no living machine has a record that says so."""

from __future__ import annotations

from outlast_orchestrator.core.types import Instance, InstancePhase
from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.history import Fact, Launched, MachineEnded, StoreWrote


class GoneIsGone(Checker):
    name = "gone means gone"

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[str, str] = {}  # machine → launch id

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Launched):
            self._alive[fact.machine] = fact.request.launch_id
        elif isinstance(fact, MachineEnded):
            self._alive.pop(fact.machine, None)
        elif isinstance(fact, StoreWrote):
            for row in fact.rows:
                if isinstance(row, Instance) and row.phase is InstancePhase.GONE:
                    for machine, launch_id in self._alive.items():
                        if launch_id == row.launch_id:
                            self.broken(f"{row.job}: launch {launch_id} is written off, but {machine} lives")
