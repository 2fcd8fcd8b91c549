"""A generation is taken once, before anything is written under its number, and never used again."""

from __future__ import annotations

from outlast.protocol.codec import load
from outlast.protocol.objects import GenerationTaken
from outlast_orchestrator.core.types import Attempt
from outlast_orchestrator.simulate.checkers.base import Checker, Move, job_of, path_of
from outlast_orchestrator.simulate.history import Deleted, Fact, StoreWrote, Wrote


class Generations(Checker):
    name = "generations are never reused"
    sees = (Wrote, Deleted, StoreWrote)

    def __init__(self) -> None:
        super().__init__()
        self._taken: dict[tuple[str, int], str] = {}  # who took the number in the bucket
        self._attempts: dict[tuple[str, int], str] = {}  # who uses it in the store

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Wrote) and path_of(fact.key).startswith("generations/"):
            taken = load(GenerationTaken, fact.body)
            known = self._taken.setdefault((job_of(fact.key), taken.generation), taken.attempt)
            if known != taken.attempt:
                self.broken(f"{fact.key} was taken by {known} and again by {taken.attempt}")
        elif isinstance(fact, Deleted) and path_of(fact.key).startswith("generations/"):
            self.broken(f"{fact.by} deleted {fact.key}: the number could be taken again")
        elif isinstance(fact, StoreWrote):
            for row in fact.rows:
                if isinstance(row, Attempt):
                    self._used(row)

    def _used(self, row: Attempt) -> None:
        if row.id == f"adopted-{row.generation}":
            return  # a store from a backup takes over what it has forgotten; who that was, the pointer knows
        known = self._attempts.setdefault((row.job, row.generation), row.id)
        if known != row.id:
            self.broken(f"{row.job}: attempts {known} and {row.id} both have generation {row.generation}")
        if (row.job, row.generation) not in self._taken:
            self.broken(f"{row.job}: generation {row.generation} is used but was never taken")

    def moved(self, move: Move) -> None:
        job, by, after = move.job, move.by, move.after
        if (job, after.generation) not in self._taken:
            self.broken(f"{job}: {by} claimed generation {after.generation}, which was never taken")
