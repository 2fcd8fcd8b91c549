"""The bad luck of the world: every kind of fault, drawn from the seed, at any touch of the world."""

from __future__ import annotations

from collections.abc import Callable

from outlast_orchestrator.simulate.clock import Dice
from outlast_orchestrator.simulate.misfortune.backups import Backups
from outlast_orchestrator.simulate.misfortune.cloud_api import CloudWeather
from outlast_orchestrator.simulate.misfortune.health import SHARE, Health
from outlast_orchestrator.simulate.misfortune.market import Market
from outlast_orchestrator.simulate.misfortune.processes import Processes
from outlast_orchestrator.simulate.misfortune.reach import Reach
from outlast_orchestrator.simulate.misfortune.stage import Kind, Stage
from outlast_orchestrator.simulate.network import BUCKET


class Faults:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._dice = stage.dice
        self._clock = stage.clock
        self.counts = stage.counts
        troubles = (Market(stage), CloudWeather(stage), Reach(stage), Processes(stage), Backups(stage))
        self._kinds: list[Kind] = [kind for trouble in troubles for kind in trouble.kinds()]
        self._health = Health(stage)

    @property
    def rough_until_s(self) -> float:
        return self._stage.rough_until_s

    @rough_until_s.setter
    def rough_until_s(self, until_s: float) -> None:
        self._stage.rough_until_s = until_s

    def kinds(self) -> list[str]:
        return [name for name, _, _ in [*self._kinds, *self._health.kinds()]]

    def plan(self, count: int, until_s: float) -> None:
        weights = [weight for _, weight, _ in self._kinds]
        for _ in range(count):
            name, _, act = self._dice.choices(self._kinds, weights)[0]
            moment_s = self._dice.uniform(0.05 * until_s, until_s)
            self._clock.at(moment_s, self._striker(name, act, until_s, self._dice))
        self._plan_health(until_s)

    def _plan_health(self, until_s: float) -> None:
        dice, kinds = self._health.dice, self._health.kinds()
        if dice.random() < SHARE:
            name, _, act = dice.choices(kinds, [weight for _, weight, _ in kinds])[0]
            moment_s = dice.uniform(0.05 * until_s, 0.8 * until_s)
            self._clock.at(moment_s, self._striker(name, act, until_s, dice))

    def _striker(
        self, name: str, act: Callable[[], bool | None], until_s: float, dice: Dice
    ) -> Callable[[], None]:
        """A fault that finds nobody to hit looks again later: an idle world proves nothing."""

        def strike() -> None:
            struck = act() if any(host.machine.alive for host in self._stage.hosts.values()) else False
            if struck:
                self._stage.struck(name)
            elif struck is False and self._clock.now_s < until_s:
                self._clock.after(dice.uniform(0.01, 0.1) * until_s, strike)

        return strike

    def able_since_s(self, machine: str) -> float:
        """Since when that machine's agent can do its duty; now, while it can't."""
        now_s, host, network = self._clock.now_s, self._stage.hosts[machine], self._stage.network
        agent = host.agent
        if agent is None or not agent.alive or agent.frozen or not network.open(machine, BUCKET):
            return now_s
        cut_s = network.opens_at_s(machine, BUCKET)
        return max(host.able_s, cut_s, min(self.rough_until_s, now_s), agent.born_s)
