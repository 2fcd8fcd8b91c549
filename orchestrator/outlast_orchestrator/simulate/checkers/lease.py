"""The lease: nobody gives up a machine within it, and no trainer lives on when it is over."""

from __future__ import annotations

from collections.abc import Mapping

from outlast.protocol.limits import LEASE_MARGIN_S, LEASE_S
from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.history import Fact, Fault, MachineEnded, TrainerEnded, TrainerStarted

GIVES_UP = ("neither the controller nor the bucket", "dead-man switch: the lease")
JUST_NOW_S = 5.0  # what got through while it was already on its way down
STANDS_STILL = ("agent frozen", "machine paused")


class Lease(Checker):
    """`contact_s`: when each machine's last successful write, to controller or bucket, was sent."""

    name = "a machine lives as long as its lease"
    sees = (TrainerStarted, TrainerEnded, Fault, MachineEnded)

    def __init__(self, contact_s: Mapping[str, float]) -> None:
        super().__init__()
        self._contact_s = contact_s
        self._alive: dict[str, float] = {}  # machine → since when its trainer runs
        self._still_until_s: dict[str, float] = {}  # frozen until then: it can't judge anything
        self._still_since_s: dict[str, float] = {}  # the last time that it came to a stand

    def see(self, at_s: float, fact: Fact) -> None:
        for machine in list(self._alive):
            since_s = max(self._alive[machine], self._contact_s.get(machine, 0.0))
            since_s = max(since_s, self._still_until_s.get(machine, 0.0) - LEASE_S)
            if at_s - since_s > LEASE_S + LEASE_MARGIN_S:
                self.now_s = at_s
                self.broken(
                    f"a trainer still runs on {machine}, {at_s - since_s:.0f} s after that node could last "
                    "write anywhere"
                )
                del self._alive[machine]
        super().see(at_s, fact)

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, TrainerStarted):
            self._alive[fact.machine] = self.now_s
        elif isinstance(fact, TrainerEnded):
            self._alive.pop(fact.machine, None)
        elif isinstance(fact, Fault) and fact.kind in STANDS_STILL:
            self._still_since_s[fact.machine] = self.now_s
            until_s = max(fact.until_s, self._still_until_s.get(fact.machine, 0.0))
            self._still_until_s[fact.machine] = until_s
        elif isinstance(fact, MachineEnded) and fact.why.startswith(GIVES_UP):
            written_s = self.now_s - self._sent_s(fact.machine)
            if JUST_NOW_S <= written_s < LEASE_S:
                self.broken(
                    f"{fact.machine} was given up ({fact.why}), {written_s:.0f} s after its last successful "
                    "write"
                )

    def _sent_s(self, machine: str) -> float:
        """When its last write was sent, as far as it knows: who is frozen between its look at the clock and
        the sending counts from before."""
        contact_s = self._contact_s.get(machine, 0.0)
        since_s = self._still_since_s.get(machine, contact_s)
        woke = since_s <= contact_s <= self._still_until_s.get(machine, 0.0) + JUST_NOW_S
        return since_s if woke else contact_s
