"""A clock of the controller whose hands a test moves."""

from __future__ import annotations


class HandClock:
    """Implements `core.ports.Clock`; tokens count up."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.wall = 1_700_000_000.0
        self._tokens = 0

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_s(self) -> float:
        return self.wall

    def sleep(self, seconds: float) -> None:
        self.forward(seconds)

    def token(self, nbytes: int) -> str:
        self._tokens += 1
        return f"{self._tokens:0{2 * nbytes}x}"

    def forward(self, seconds: float) -> None:
        self.now_s += seconds
        self.wall += seconds
