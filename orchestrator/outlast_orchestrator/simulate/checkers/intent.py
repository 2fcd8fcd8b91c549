"""The intent is saved before the launch: the store knows every request before the cloud does."""

from __future__ import annotations

from outlast_orchestrator.core.types import Instance, LaunchRequest
from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.history import Fact, LaunchAsked, StoreWrote


class Intent(Checker):
    name = "intent before launch"
    sees = (StoreWrote, LaunchAsked)

    def __init__(self) -> None:
        super().__init__()
        self._saved: dict[str, LaunchRequest] = {}

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, StoreWrote):
            self._saved.update({r.request.token: r.request for r in fact.rows if isinstance(r, Instance)})
        elif isinstance(fact, LaunchAsked) and self._saved.get(fact.request.token) != fact.request:
            self.broken(f"{fact.request.job}: {fact.request.token} was launched before its intent was saved")
