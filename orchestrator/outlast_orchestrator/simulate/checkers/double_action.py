"""Two controllers never act both: whatever one begins, it begins as the leader of the newest term."""

from __future__ import annotations

from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.history import (
    STORE_RESTORED,
    Fact,
    Fault,
    LaunchAsked,
    StoreWrote,
    TerminateAsked,
)
from outlast_orchestrator.simulate.network import CONTROLLER, STANDBY


class DoubleAction(Checker):
    name = "only the leader acts"
    sees = (Fault, StoreWrote, LaunchAsked, TerminateAsked)

    def __init__(self) -> None:
        super().__init__()
        self._leader = ""  # process

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Fault) and fact.kind == STORE_RESTORED:
            self._leader = ""
        elif isinstance(fact, StoreWrote):
            if any(event.kind is Kind.CONTROLLER_LEADS for event in fact.events):
                self._leader = fact.by
            self._judge(fact.by, "wrote to the store")
        elif isinstance(fact, LaunchAsked):
            self._judge(fact.by, f"asked for launch {fact.request.token}")
        elif isinstance(fact, TerminateAsked):
            self._judge(fact.by, f"asked for the end of {fact.machine}")

    def _judge(self, by: str, what: str) -> None:
        if by.split("/")[0] in (CONTROLLER, STANDBY) and by != self._leader:
            self.broken(f"{by} {what}, but {self._leader or 'nobody'} leads")
