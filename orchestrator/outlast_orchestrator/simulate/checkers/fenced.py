"""Once superseded, and awake, and able to read the bucket, a node's trainer is dead within a minute."""

from __future__ import annotations

from collections.abc import Callable

from outlast.protocol.limits import FENCED_TRAINER_DEAD_S
from outlast_orchestrator.simulate.checkers.base import Checker, Move
from outlast_orchestrator.simulate.history import Fact, TrainerEnded, TrainerStarted


class Fenced(Checker):
    name = "a fenced trainer dies within a minute"
    sees = (TrainerStarted, TrainerEnded)

    def __init__(self, able_since_s: Callable[[str], float]) -> None:
        super().__init__()
        self._able_since_s = able_since_s  # machine → since when it runs and reaches the bucket
        self._generations: dict[str, int] = {}
        self._alive: dict[str, TrainerStarted] = {}
        self._superseded_s: dict[str, float] = {}

    def see(self, at_s: float, fact: Fact) -> None:
        for machine in list(self._superseded_s):
            since_s = max(self._superseded_s[machine], self._able_since_s(machine))
            if at_s - since_s > FENCED_TRAINER_DEAD_S:
                start = self._alive[machine]
                self.now_s = at_s
                self.broken(
                    f"{start.job}: generation {start.generation} still trains on {machine}, "
                    f"{at_s - since_s:.0f} s after it could have known that it was superseded"
                )
                del self._superseded_s[machine]
        super().see(at_s, fact)

    def moved(self, move: Move) -> None:
        self._generations[move.job] = move.after.generation
        for machine, start in self._alive.items():
            if start.job == move.job and start.generation < move.after.generation:
                self._superseded_s.setdefault(machine, self.now_s)

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, TrainerStarted):
            self._alive[fact.machine] = fact
            if fact.generation < self._generations.get(fact.job, 0):
                self._superseded_s[fact.machine] = self.now_s
        elif isinstance(fact, TrainerEnded):
            self._alive.pop(fact.machine, None)
            self._superseded_s.pop(fact.machine, None)
