"""At most one uncertain launch try per rank: a new token only after the last one is settled."""

from __future__ import annotations

from outlast_orchestrator.core.types import LaunchRequest
from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.cloud import TOKEN_LIFE_S
from outlast_orchestrator.simulate.history import (
    Fact,
    LaunchAnswered,
    LaunchAsked,
    Launched,
    Listed,
    MachineEnded,
)


class Uncertain(Checker):
    """A try is settled by an answer, by being listed, or by its machine's end."""

    name = "at most one uncertain launch try"

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[str, LaunchRequest] = {}  # token → a try whose outcome nobody knows
        self._first_s: dict[str, float] = {}
        self._requests: dict[str, LaunchRequest] = {}
        self._machines: dict[str, str] = {}  # machine → token

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, LaunchAsked):
            self._asked(fact.request)
        elif isinstance(fact, LaunchAnswered) and fact.answer != "unsure":
            self._open.pop(fact.token, None)
        elif isinstance(fact, Launched):
            self._machines[fact.machine] = fact.request.token
        elif isinstance(fact, Listed):
            for token in fact.tokens:
                self._open.pop(token, None)
        elif isinstance(fact, MachineEnded):
            self._open.pop(self._machines.get(fact.machine, ""), None)

    def _asked(self, request: LaunchRequest) -> None:
        token = request.token
        known = self._requests.setdefault(token, request)
        if known != request:
            self.broken(f"{request.job}: token {token} was used for two different requests")
        if self.now_s - self._first_s.setdefault(token, self.now_s) > TOKEN_LIFE_S:
            self.broken(f"{request.job}: token {token} was sent again after its life")
        for other in self._open.values():
            if other.launch_id == request.launch_id and other.token != token:
                self.broken(f"{request.job}: try {token} was made while {other.token} was not settled")
        self._open[token] = request
