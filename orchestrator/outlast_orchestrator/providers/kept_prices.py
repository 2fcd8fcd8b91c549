"""Prices that were asked of a cloud and are kept for a while; that they can't be had is no obstacle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from outlast_orchestrator.core.errors import ProviderError
from outlast_orchestrator.core.ports import Clock

Prices = TypeVar("Prices")


@dataclass(frozen=True)
class _Asked(Generic[Prices]):
    at_s: float
    types: frozenset[str]
    prices: Prices | None


class KeptPrices(Generic[Prices]):
    """Thread-safe. `ask` takes a region and machine types, and raises ProviderError."""

    def __init__(
        self, clock: Clock, ask: Callable[[str, list[str]], Prices], live_s: float, again_s: float
    ) -> None:
        """`live_s`: for how long prices are kept; `again_s`: how long after a try that failed."""
        self._clock = clock
        self._ask = ask
        self._live_s = live_s
        self._again_s = again_s
        self._lock = threading.Lock()
        self._asked: dict[str, _Asked[Prices]] = {}

    def of(self, region: str, types: Sequence[str]) -> Prices | None:
        """None when they can't be had now."""
        now_s, wanted = self._clock.monotonic_s(), frozenset(types)
        with self._lock:
            known = self._asked.get(region)
        if known is not None and wanted <= known.types:
            fresh_s = self._again_s if known.prices is None else self._live_s
            if now_s - known.at_s < fresh_s:
                return known.prices
        if known is not None:
            wanted |= known.types
        try:
            prices: Prices | None = self._ask(region, sorted(wanted))
        except ProviderError:
            prices = None
        with self._lock:
            self._asked[region] = _Asked(now_s, wanted, prices)
        return prices
