"""Bad luck with the training itself: a save goes bad, or its state does, once or at the same step again.

Rare, and from dice of its own: whatever else happens in a world stays as it was without it.
"""

from __future__ import annotations

from outlast_orchestrator.simulate.clock import Dice
from outlast_orchestrator.simulate.host import Host
from outlast_orchestrator.simulate.misfortune.stage import Kind, Stage

SHARE = 0.25  # of all worlds
ROOM = 4  # saves of its own rhythm, of which so many are refused that it matters


class Health:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.dice: Dice = stage.clock.stream("health")

    def kinds(self) -> list[Kind]:
        return [
            ("a save goes bad", 1.0, self._spoil),
            ("a state goes bad", 1.5, self._lose),
            ("a state goes bad again and again", 1.5, self._poison),
        ]

    def _any(self, room: int = 0) -> Host | None:
        """A trainer that has as many saves before it."""
        found = [host for host in self._stage.hosts.values() if host.trainer.saves_left() > room]
        return self.dice.choice(found) if found else None

    def _spoil(self) -> bool:
        host = self._any()
        if host is None:
            return False
        host.trainer.sickness.spoils = True
        return self._stage.told("a save goes bad", host.machine.id, host.machine.id)

    def _lose(self) -> bool:
        host = self._any(self.dice.choice((0, ROOM)))  # with few saves left it comes to its end before
        if host is None:
            return False
        host.trainer.sickness.lost = True
        return self._stage.told("a state goes bad", host.machine.id, host.machine.id)

    def _poison(self) -> bool:
        host = self._any(ROOM)
        if host is None:
            return False
        job, step = host.trainer.poison(self.dice.randint(1, 3))
        return self._stage.told("a state goes bad again and again", f"{job} from step {step} on")
