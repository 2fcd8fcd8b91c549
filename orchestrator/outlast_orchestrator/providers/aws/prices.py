"""Spot prices of now, asked at most every ten minutes a region."""

from __future__ import annotations

from typing import Any

from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.providers.aws.calls import Calls
from outlast_orchestrator.providers.aws.offers import Prices
from outlast_orchestrator.providers.kept_prices import KeptPrices

LIVE_S = 600.0
AGAIN_S = 60.0  # after a try that failed
LINUX = ["Linux/UNIX", "Linux/UNIX (Amazon VPC)"]


class SpotPrices:
    """By (zone, type); None when they can't be had now."""

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self.of = KeptPrices[Prices](clock, self._ask, LIVE_S, AGAIN_S).of

    def _ask(self, region: str, types: list[str]) -> Prices:
        return self._calls.ask("prices", region, lambda ec2: _newest(ec2, types, self._clock.wall_s()))


def _newest(ec2: Any, types: list[str], now_at: float) -> Prices:
    """A history that begins now holds what is in force now, once for each pool."""
    pages = ec2.get_paginator("describe_spot_price_history").paginate(
        InstanceTypes=types, ProductDescriptions=LINUX, StartTime=now_at, EndTime=now_at
    )
    newest: dict[tuple[str, str], tuple[Any, float]] = {}
    for page in pages:
        for one in page["SpotPriceHistory"]:
            key = (one["AvailabilityZone"], one["InstanceType"])
            if key not in newest or one["Timestamp"] > newest[key][0]:
                newest[key] = (one["Timestamp"], float(one["SpotPrice"]))
    return {key: price for key, (_, price) in newest.items()}
