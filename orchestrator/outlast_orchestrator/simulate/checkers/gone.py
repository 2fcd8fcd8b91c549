"""A machine is written off as gone only when it is: no living machine has a record that says so."""

from __future__ import annotations

from outlast_orchestrator.core.types import Instance, InstancePhase
from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.history import FROM_BACKUP, Fact, Launched, MachineEnded, StoreWrote


class GoneIsGone(Checker):
    """A caller that slept longer than its token lives brings a second machine of the same token. A record
    that names the first one says nothing of that; that it is found and ended is for `leaks` to judge."""

    name = "gone means gone"
    sees = (Launched, MachineEnded, StoreWrote)

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[str, str] = {}  # machine → launch id
        self._tokens: dict[str, str] = {}  # machine, alive or not → token

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Launched):
            self._alive[fact.machine] = fact.request.launch_id
            self._tokens[fact.machine] = fact.request.token
        elif isinstance(fact, MachineEnded):
            self._alive.pop(fact.machine, None)
        elif isinstance(fact, StoreWrote) and fact.by != FROM_BACKUP:  # an old record is nobody's judgement
            for row in fact.rows:
                if isinstance(row, Instance) and row.phase is InstancePhase.GONE:
                    self._written_off(row)

    def _written_off(self, row: Instance) -> None:
        for machine, launch_id in self._alive.items():
            if launch_id == row.launch_id and not self._names_its_twin(row, machine):
                self.broken(f"{row.job}: launch {launch_id} is written off, but {machine} lives")

    def _names_its_twin(self, row: Instance, machine: str) -> bool:
        return row.id != machine and self._tokens.get(row.id) == self._tokens[machine]
