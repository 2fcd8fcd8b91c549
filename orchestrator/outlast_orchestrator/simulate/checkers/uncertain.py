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
    sees = (LaunchAsked, LaunchAnswered, Launched, Listed, MachineEnded)

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[str, LaunchRequest] = {}  # token → a try whose outcome nobody knows
        self._first_s: dict[str, float] = {}
        self._requests: dict[str, LaunchRequest] = {}
        self._machines: dict[str, str] = {}  # machine → token
        self._skew_s: dict[str, float] = {}  # token → of the clock that its age counts from
        self._looked: dict[tuple[str, str], float] = {}  # (controller, region) → its newest listing
        self._asked_s: dict[tuple[str, str], float] = {}  # (controller, token) → its newest try

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, LaunchAsked):
            self._asked(fact)
        elif isinstance(fact, LaunchAnswered) and fact.answer != "unsure":
            self._open.pop(fact.token, None)
        elif isinstance(fact, Launched):
            self._machines[fact.machine] = fact.request.token
        elif isinstance(fact, Listed):
            self._looked[fact.by, fact.region] = self.now_s
            for token in fact.tokens:
                self._open.pop(token, None)
        elif isinstance(fact, MachineEnded):
            self._open.pop(self._machines.get(fact.machine, ""), None)

    def _asked(self, fact: LaunchAsked) -> None:
        request, token = fact.request, fact.request.token
        known = self._requests.setdefault(token, request)
        if known != request:
            self.broken(f"{request.job}: token {token} was used for two different requests")
        self._skew_s.setdefault(token, fact.skew_s)
        age_s = self.now_s - self._first_s.setdefault(token, self.now_s)
        if age_s > TOKEN_LIFE_S and not self._looked_young(fact, age_s):
            self.broken(f"{request.job}: token {token} was sent again after its life")
        self._asked_s[fact.by, token] = self.now_s
        for other in self._open.values():
            if other.launch_id == request.launch_id and other.token != token:
                self.broken(f"{request.job}: try {token} was made while {other.token} was not settled")
        self._open[token] = request

    def _looked_young(self, fact: LaunchAsked, age_s: float) -> bool:
        """By a clock that is behind the one that wrote the intent, a token is younger than it is: nobody can
        know. So it must look first, and no machine of that token may ever have come to be."""
        token, region = fact.request.token, fact.request.offer.region
        seems_s = age_s + fact.skew_s - self._skew_s[token]
        asked_s = self._asked_s.get((fact.by, token), self._first_s[token])
        looked = self._looked.get((fact.by, region), 0.0) > asked_s
        return 0.0 <= seems_s <= TOKEN_LIFE_S and looked and token not in self._machines.values()
