"""Nobody fences itself: a node says "fenced" only after another claimed over it."""

from __future__ import annotations

from outlast.protocol.codec import load
from outlast.protocol.messages import AgentState, Report
from outlast_orchestrator.simulate.checkers.base import Checker, Move, path_of
from outlast_orchestrator.simulate.history import Fact, Wrote


class SelfFencing(Checker):
    name = "no self-fencing"
    sees = (Wrote,)

    def __init__(self) -> None:
        super().__init__()
        self._owners: dict[str, tuple[int, str]] = {}

    def moved(self, move: Move) -> None:
        self._owners[move.job] = (move.after.generation, move.after.writer)

    def saw(self, fact: Fact) -> None:
        if not isinstance(fact, Wrote) or b'"fenced"' not in fact.body:
            return
        if not path_of(fact.key).startswith("status/"):
            return
        report = load(Report, fact.body)
        owner = self._owners.get(report.job)
        if report.state is AgentState.FENCED and owner == (report.generation, report.writer):
            self.broken(f"{report.job}: {fact.by} says that it is fenced, but the pointer names it")
