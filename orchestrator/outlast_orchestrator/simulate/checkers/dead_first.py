"""A release or an end is written only after the trainer is dead: nothing more comes from that attempt."""

from __future__ import annotations

from outlast.protocol.objects import PointerState
from outlast_orchestrator.simulate.checkers.base import Checker, Move, machine_of
from outlast_orchestrator.simulate.history import Fact, TrainerEnded, TrainerStarted


class DeadFirst(Checker):
    name = "the trainer is dead before its release"
    sees = (TrainerStarted, TrainerEnded)

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[str, TrainerStarted] = {}  # by machine

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, TrainerStarted):
            self._alive[fact.machine] = fact
        elif isinstance(fact, TrainerEnded):
            self._alive.pop(fact.machine, None)

    def moved(self, move: Move) -> None:
        if move.after.state is PointerState.RUNNING:
            return
        start = self._alive.get(machine_of(move.by))
        if start is not None and (start.job, start.generation) == (move.job, move.after.generation):
            state, step = move.after.state.value, start.step
            self.broken(f"{move.job}: {move.by} wrote {state} while its trainer (from step {step}) ran")
