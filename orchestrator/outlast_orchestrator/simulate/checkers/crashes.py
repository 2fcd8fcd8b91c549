"""No process of ours meets an exception that it did not foresee."""

from __future__ import annotations

from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.history import Fact, ProcessDied, StoreWrote

# What the controller says when a decision ended in an exception: it goes on with the other jobs.
NOT_LOOKED_AFTER = "the controller can't look after this job"


class Crashes(Checker):
    name = "no unhandled exception"
    sees = (ProcessDied, StoreWrote)

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, ProcessDied) and fact.crash:
            self.broken(f"{fact.process}: {fact.why} ({fact.crash})")
        elif isinstance(fact, StoreWrote):
            for event in fact.events:
                if event.kind is Kind.TELL and event.why.startswith(NOT_LOOKED_AFTER):
                    self.broken(f"{event.job}: {event.why}")
