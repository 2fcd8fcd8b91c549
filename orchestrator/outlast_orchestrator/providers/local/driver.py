"""Moves the market and the script along: who is interrupted when, and whether it is told before."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from outlast_orchestrator.providers.local import clock
from outlast_orchestrator.providers.local.config import CloudConfig
from outlast_orchestrator.providers.local.fleet import Fleet
from outlast_orchestrator.providers.local.market import TOGETHER_S, Market, Pool, calm, chance, seeded
from outlast_orchestrator.providers.local.records import EndCode, Interruption, Record, Step
from outlast_orchestrator.providers.local.refusals import Refused
from outlast_orchestrator.providers.local.state import State
from outlast_orchestrator.providers.local.traces import traced

MAKERS: dict[str, Callable[[CloudConfig], Market]] = {"calm": calm, "seed": seeded, "trace": traced}
LATE_NOTICE_SHARE = 0.2  # a late notice leaves up to so much of the promised time

log = logging.getLogger("market")


def interruption(
    config: CloudConfig, pool: Pool, falls_s: float, number: int, dies_at: float
) -> Interruption:
    """Which notice the `number`th victim of a pool's fall gets: on time, late, or none."""
    seed, market = config.market.seed, config.market
    u = chance(seed, *pool, f"{falls_s:.3f}", "notice", number)
    if u < market.missing_share:
        return Interruption(dies_at, None)
    if u < market.missing_share + market.late_share:
        late = chance(seed, *pool, f"{falls_s:.3f}", "late", number) * LATE_NOTICE_SHARE
        return Interruption(dies_at, dies_at - late * config.notice_s)
    return Interruption(dies_at, dies_at - config.notice_s)


class Driver:
    """Called by the cloud's loop; the only one who turns market and script into deaths."""

    def __init__(self, fleet: Fleet, state: State, config: CloudConfig) -> None:
        self._fleet = fleet
        self._state = state
        self._steps = state.steps()
        self._epoch = state.epoch(clock.wall_s())
        self.configure(config)

    def configure(self, config: CloudConfig) -> None:
        """Raises TraceError when the market's trace can't be used."""
        self._market = MAKERS[config.market.kind](config)
        self._config = config

    def market_s(self, now: float) -> float:
        return (now - self._epoch) * self._config.market.speed

    def capacity(self, zone: str, instance_type: str) -> int:
        return self._market.capacity((zone, instance_type), self.market_s(clock.wall_s()))

    def spot_usd_h(self, zone: str, instance_type: str) -> float:
        kind = self._config.type_named(instance_type)
        assert kind is not None
        ratio = self._market.price_ratio((zone, instance_type), self.market_s(clock.wall_s()))
        return round(kind.on_demand_usd_h * ratio, 6)

    def add_steps(self, steps: list[Step]) -> None:
        self._steps = sorted([*self._steps, *steps], key=lambda step: step.at)
        self._state.save_steps(self._steps)

    def clear_steps(self) -> None:
        self._steps = []
        self._state.save_steps([])

    def tick(self, perform: Callable[[Step], None]) -> None:
        now = clock.wall_s()
        self._look_ahead(now)
        for record in self._fleet.records():
            due = record.interruption
            if record.living and due is not None and due.dies_at <= now:
                text = f"interrupted by the spot market in {record.zone}"
                self._fleet.end(record.id, EndCode.INTERRUPTED, text, silent=due.silent)
        while self._steps and self._steps[0].at <= now:
            step, self._steps = self._steps[0], self._steps[1:]
            self._state.save_steps(self._steps)
            try:
                perform(step)
            except Refused as refusal:
                log.warning("the script's step %s was refused: %s", step.do, refusal.message)

    def _look_ahead(self, now: float) -> None:
        """Dooms the machines for which their pool has no room at the end of the notice period."""
        pools: dict[Pool, list[Record]] = {}
        for record in self._fleet.records():
            if record.living and record.order.market == "spot":
                pools.setdefault(record.pool, []).append(record)
        start_s, end_s = self.market_s(now), self.market_s(now + self._config.notice_s)
        for pool, records in pools.items():
            safe = [record for record in records if record.interruption is None]
            falls_s = self._market.falls_below(pool, start_s, end_s, len(safe))
            if falls_s is not None and safe:
                room = self._market.capacity(pool, falls_s)
                self._doom(pool, falls_s, safe[room:])

    def _doom(self, pool: Pool, falls_s: float, victims: list[Record]) -> None:
        """The newest machines go, one shortly after the other."""
        for number, record in enumerate(victims):
            spread_s = TOGETHER_S * chance(self._config.market.seed, *pool, f"{falls_s:.3f}", number)
            dies_at = self._epoch + (falls_s + spread_s) / self._config.market.speed
            fate = interruption(self._config, pool, falls_s, number, dies_at)
            log.info("instance %s will be interrupted at %s", record.id, clock.iso_utc(dies_at))
            self._fleet.change(record.id, lambda r, fate=fate: replace(r, interruption=fate))  # type: ignore[misc]
