"""One measured figure with its limit."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    name: str
    value: float
    unit: str
    limit: float | None  # None: it is told, and nothing depends on it
    better: str  # lower, higher
    command: str

    @property
    def holds(self) -> bool:
        if self.limit is None:
            return True
        return self.value <= self.limit if self.better == "lower" else self.value >= self.limit

    @property
    def words(self) -> str:
        told = f"{self.value:g} {self.unit}"
        if self.limit is None:
            return told
        return f"{told} (limit {self.limit:g})" + ("" if self.holds else " BROKEN")


def lower(name: str, value: float, unit: str, limit: float) -> Figure:
    return Figure(name, round(value, 3), unit, limit, "lower", f"python -m tests.bench {name}")


def ratio(first: Callable[[], float], second: Callable[[], float], runs: int) -> float:
    """Median of the first over median of the second, run in turn, so that a noisy spell hits both."""
    pairs = [(first(), second()) for _ in range(runs)]
    return statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs)
