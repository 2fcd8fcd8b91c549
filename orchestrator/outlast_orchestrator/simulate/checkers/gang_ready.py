"""The first node of a gang claims only when all its nodes are ready: until then the job is another's."""

from __future__ import annotations

from collections.abc import Callable

from outlast_orchestrator.core.types import Attempt
from outlast_orchestrator.simulate.checkers.base import Checker, Move
from outlast_orchestrator.simulate.history import Fact, Launched, MachineEnded, StoreWrote


class GangReady(Checker):
    """`remembered`: the newest generation that the agent on a machine has prepared for."""

    name = "a gang claims when all its nodes are ready"
    sees = (StoreWrote, Launched, MachineEnded)

    def __init__(self, remembered: Callable[[str], int]) -> None:
        super().__init__()
        self._remembered = remembered
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._machines: dict[str, str] = {}  # launch id → machine
        self._ended: set[str] = set()
        self.judged = 0

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, StoreWrote):
            for row in fact.rows:
                if isinstance(row, Attempt):
                    self._attempts[row.job, row.generation] = row
        elif isinstance(fact, Launched):
            self._machines[fact.request.launch_id] = fact.machine
        elif isinstance(fact, MachineEnded):
            self._ended.add(fact.machine)

    def moved(self, move: Move) -> None:
        job, before, after = move.job, move.before, move.after
        if before is not None and before.generation == after.generation:
            return
        attempt = self._attempts.get((job, after.generation))
        if attempt is None or len(attempt.launches) < 2:
            return
        self.judged += 1
        for rank, launch in enumerate(attempt.launches):
            machine = self._machines.get(launch, "")
            if machine in self._ended:
                continue  # it may have been ready when the claim was allowed
            if not machine or self._remembered(machine) < after.generation:
                claimed = f"{move.by} claimed generation {after.generation}"
                self.broken(f"{job}: {claimed}, and node {rank} is not ready")
