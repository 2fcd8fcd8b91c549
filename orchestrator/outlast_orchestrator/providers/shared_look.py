"""One look at all regions of an account at once, shared by the listings of all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.core.view import RegionListing, Seen

SHARED_FOR_S = 2.0  # regions whose listing begins so soon after one another get the same look


@dataclass
class Look:
    begun_s: float
    seen: dict[str, list[Seen]] = field(default_factory=dict)  # by region
    problems: dict[str, str] = field(default_factory=dict)  # by region; "" for all
    taken: set[str] = field(default_factory=set)

    def add(self, seen: Seen) -> None:
        self.seen.setdefault(seen.region, []).append(seen)


class SharedLook:
    """`read`: takes the time at which the look begins, and looks. One at a time."""

    def __init__(self, cloud: str, clock: Clock, read: Callable[[float], Look]) -> None:
        self._cloud = cloud
        self._clock = clock
        self._read = read
        self._lock = threading.Lock()
        self._look: Look | None = None

    def listing(self, region: str) -> RegionListing:
        """A look that was begun when its listing says, and that this region did not have before."""
        with self._lock:  # whoever waits here gets what the other one has just read
            now_s, look = self._clock.monotonic_s(), self._look
            if look is None or region in look.taken or now_s - look.begun_s > SHARED_FOR_S:
                look = self._look = self._read(now_s)
            look.taken.add(region)
        problem = look.problems.get("") or look.problems.get(region, "")
        seen = () if problem else tuple(look.seen.get(region, ()))
        return RegionListing(self._cloud, region, look.begun_s, seen, problem)
