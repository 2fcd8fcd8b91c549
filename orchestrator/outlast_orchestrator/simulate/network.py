"""Who can reach whom: cuts between places, each way a call can be lost."""

from __future__ import annotations

from outlast_orchestrator.simulate.clock import SimClock

BUCKET = "bucket"
CLOUD = "cloud"
CONTROLLER = "controller"
STANDBY = "standby"  # where a second controller runs, if there is one


class Network:
    """Places are the bucket, the cloud, the controller, and each machine by its id."""

    def __init__(self, clock: SimClock) -> None:
        self._clock = clock
        self._cut_until_s: dict[tuple[str, str], float] = {}

    def cut(self, one: str, other: str, seconds: float) -> None:
        """Nothing passes between the two for that long; bytes are swallowed, nothing is refused."""
        until_s = self._clock.now_s + seconds
        for pair in ((one, other), (other, one)):
            self._cut_until_s[pair] = max(until_s, self._cut_until_s.get(pair, 0.0))

    def open(self, one: str, other: str) -> bool:
        if not self._cut_until_s:
            return True
        return self._clock.now_s >= self._cut_until_s.get((one, other), 0.0)

    def opens_at_s(self, one: str, other: str) -> float:
        return self._cut_until_s.get((one, other), 0.0)
