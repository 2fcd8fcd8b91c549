"""Spot prices of now, asked at most every ten minutes a region; that they can't be had is no obstacle."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from outlast_orchestrator.core.errors import ProviderError
from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.providers.aws.calls import Calls
from outlast_orchestrator.providers.aws.offers import Prices

LIVE_S = 600.0
AGAIN_S = 60.0  # after a try that failed
LINUX = ["Linux/UNIX", "Linux/UNIX (Amazon VPC)"]


@dataclass(frozen=True)
class _Asked:
    at_s: float
    types: frozenset[str]
    prices: Prices | None


class SpotPrices:
    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: dict[str, _Asked] = {}

    def of(self, region: str, types: Sequence[str]) -> Prices | None:
        """By (zone, type); None when they can't be had now."""
        now_s, wanted = self._clock.monotonic_s(), frozenset(types)
        with self._lock:
            known = self._asked.get(region)
        if known is not None and wanted <= known.types:
            fresh_s = AGAIN_S if known.prices is None else LIVE_S
            if now_s - known.at_s < fresh_s:
                return known.prices
        if known is not None:
            wanted |= known.types
        try:
            prices: Prices | None = self._calls.ask(
                "prices", region, lambda ec2: _newest(ec2, sorted(wanted), self._clock.wall_s())
            )
        except ProviderError:
            prices = None
        with self._lock:
            self._asked[region] = _Asked(now_s, wanted, prices)
        return prices


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
