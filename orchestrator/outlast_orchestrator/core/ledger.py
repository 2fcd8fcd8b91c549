"""What a job has cost, and what it would have cost on demand. Pure.

An estimate from list and market prices, by the second; the cloud's bill is the truth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from outlast_orchestrator.core.types import Instance

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Cost:
    spent_usd: float
    on_demand_usd: float
    machine_hours: float

    @property
    def saved_usd(self) -> float:
        return self.on_demand_usd - self.spent_usd


def cost(instances: Iterable[Instance], now_at: float) -> Cost:
    """Sums every machine from its start to its end, or to `now_at` while it runs."""
    spent = on_demand = hours = 0.0
    for instance in instances:
        if instance.started_at is None:
            continue
        end_at = instance.ended_at if instance.ended_at is not None else now_at
        machine_hours = max(0.0, end_at - instance.started_at) / SECONDS_PER_HOUR
        hours += machine_hours
        spent += machine_hours * instance.offer.price_usd_h
        on_demand += machine_hours * instance.offer.on_demand_usd_h
    return Cost(spent, on_demand, hours)


def cost_usd(instances: Iterable[Instance], now_at: float) -> float:
    return cost(instances, now_at).spent_usd
