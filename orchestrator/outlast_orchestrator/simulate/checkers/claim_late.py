"""A claim comes late: only when its node is set up and nothing but the restore stands before the start."""

from __future__ import annotations

from collections.abc import Callable

from outlast_orchestrator.simulate.checkers.base import Checker, Move, machine_of


class ClaimLate(Checker):
    """Whoever claims earlier keeps the job from one that is ready, or takes it and then fails to set up."""

    name = "a claim comes when the node is ready"

    def __init__(self, is_set_up: Callable[[str], bool]) -> None:
        super().__init__()
        self._is_set_up = is_set_up

    def moved(self, move: Move) -> None:
        before, after = move.before, move.after
        if before is not None and before.generation == after.generation:
            return
        machine = machine_of(move.by)
        if not self._is_set_up(machine):
            self.broken(f"{move.job}: {move.by} claimed generation {after.generation} and is not set up")
