"""What every kind of bad luck plays on: the world's parts, its chance, and whom it may hit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from outlast_orchestrator.simulate.bucket import BucketServer
from outlast_orchestrator.simulate.clock import Dice, Process, SimClock
from outlast_orchestrator.simulate.cloud import Machine
from outlast_orchestrator.simulate.control import ControlRoom
from outlast_orchestrator.simulate.history import Fault, History
from outlast_orchestrator.simulate.host import Host
from outlast_orchestrator.simulate.network import Network
from outlast_orchestrator.simulate.plan import Plan
from outlast_orchestrator.simulate.provider import CloudApi
from outlast_orchestrator.simulate.store import MemoryStore

# Name, weight, and what does it. False: nobody is there to hit; None: it lies in wait, and is counted when
# it strikes.
Kind = tuple[str, float, Callable[[], bool | None]]


@dataclass
class Stage:
    clock: SimClock
    history: History
    network: Network
    bucket: BucketServer
    api: CloudApi
    store: MemoryStore
    rooms: list[ControlRoom]
    hosts: dict[str, Host]
    plan: Plan
    dice: Dice
    counts: dict[str, int] = field(default_factory=dict)
    rough_until_s: float = 0.0  # of the bucket, for whom may be excused

    def struck(self, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def told(self, kind: str, text: str, machine: str = "", seconds: float = 0.0) -> bool:
        self.history.record(self.clock.now_s, Fault(kind, text, machine, self.clock.now_s + seconds))
        return True

    def while_s(self) -> float:
        """How long it lasts: mostly short, at times longer than the lease."""
        return self.dice.choice(self.plan.lasting_s)

    def any_machine(self) -> Machine | None:
        living = [host.machine for host in self.hosts.values() if host.machine.alive]
        return self.dice.choice(living) if living else None

    def any_agent(self) -> tuple[Host, Process] | None:
        living = [(h, h.agent) for h in self.hosts.values() if h.agent is not None and h.agent.alive]
        return self.dice.choice(living) if living else None

    def any_controller(self) -> tuple[ControlRoom, Process] | None:
        living = [(r, r.process) for r in self.rooms if r.process is not None and r.process.alive]
        return self.dice.choice(living) if living else None
