"""The dead-man switch judges the agent only: never a live one, whatever the controller does, and in time."""

from __future__ import annotations

from outlast_orchestrator.simulate.checkers.base import Checker, machine_of
from outlast_orchestrator.simulate.history import (
    DEADMAN_SAYS,
    AgentBorn,
    Fact,
    Fault,
    MachineEnded,
    ProcessDied,
)

FREEZES = ("agent frozen", "machine paused")
LATEST_S = 3600.0  # without an agent that can work, for whatever reason


class DeadMan(Checker):
    name = "the dead-man switch is for dead agents"
    sees = (AgentBorn, ProcessDied, Fault, MachineEnded)

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[str, str] = {}  # machine → agent
        self._dead_s: dict[str, float] = {}  # machine → since when it had an agent and has none
        self._frozen_until_s: dict[str, float] = {}

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, AgentBorn):
            self._alive[fact.machine] = fact.process
            self._dead_s.pop(fact.machine, None)
        elif isinstance(fact, ProcessDied):
            machine = machine_of(fact.process)
            if self._alive.get(machine) == fact.process:
                del self._alive[machine]
                self._dead_s[machine] = self.now_s
        elif isinstance(fact, Fault) and fact.kind in FREEZES:
            until_s = max(fact.until_s, self._frozen_until_s.get(fact.machine, 0.0))
            self._frozen_until_s[fact.machine] = until_s
        elif isinstance(fact, MachineEnded):
            self._ended(fact)

    def _ended(self, end: MachineEnded) -> None:
        self._dead_s.pop(end.machine, None)
        agent = self._alive.pop(end.machine, "")
        frozen = self.now_s < self._frozen_until_s.get(end.machine, 0.0)
        if end.why.startswith(DEADMAN_SAYS) and agent and not frozen:
            self.broken(f"{end.machine} was switched off, though {agent} is at work: {end.why}")

    def finish(self, at_s: float) -> None:
        self.now_s = at_s
        for machine, since_s in self._dead_s.items():
            since_s = max(since_s, self._frozen_until_s.get(machine, 0.0))
            if at_s - since_s > LATEST_S:
                self.broken(f"{machine} has had no agent for {at_s - since_s:.0f} s, and still runs")
