"""No process of ours ends by an exception that it did not handle."""

from __future__ import annotations

from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.history import Fact, ProcessDied


class Crashes(Checker):
    name = "no unhandled exception"

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, ProcessDied) and fact.crash:
            self.broken(f"{fact.process}: {fact.why} ({fact.crash})")
