"""The pointer moves forward: seq by one with every write, the generation never back, nobody removes it."""

from __future__ import annotations

from outlast.protocol.objects import POINTER_KEY, PointerState
from outlast_orchestrator.simulate.checkers.base import Checker, Move
from outlast_orchestrator.simulate.history import Deleted, Fact


class Forward(Checker):
    name = "the pointer moves forward"
    sees = (Deleted,)

    def moved(self, move: Move) -> None:
        job, by, before, after = move.job, move.by, move.before, move.after
        if before is None:
            return
        if after.seq != before.seq + 1:
            self.broken(f"{job}: {by} wrote seq {after.seq} over {before.seq}")
        if after.generation < before.generation:
            self.broken(f"{job}: {by} wrote generation {after.generation} over {before.generation}")
        same = (after.generation, after.writer) == (before.generation, before.writer)
        if same and before.state is not PointerState.RUNNING:
            self.broken(f"{job}: {by} wrote again after it had written {before.state.value}")
        if not same and after.state is not PointerState.RUNNING:
            self.broken(f"{job}: {by} took the job over as {after.state.value}")

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Deleted) and fact.key.endswith("/" + POINTER_KEY):
            self.broken(f"{fact.by} deleted {fact.key}")
