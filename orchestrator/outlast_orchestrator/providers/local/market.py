"""The spot market: how many machines each pool has at each moment, and what they cost. Pure.

A seed gives the same market in every process. Its ups and downs are drawn from log-normal distributions
that meet published medians and 90th percentiles of real zones, so young machines die far more often than
old ones and all of a pool die together, as they do in reality.
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

from outlast_orchestrator.providers.local.config import CloudConfig, InstanceType

Pool = tuple[str, str]  # zone, instance type

HOUR_S = 3600.0
SPAN_S = 60 * 24 * HOUR_S  # the market repeats itself after this
_NORMAL = NormalDist()
_Z90 = _NORMAL.inv_cdf(0.9)
TOGETHER_S = 180.0  # of market time: machines of one pool die within this


@dataclass(frozen=True)
class Profile:
    """One kind of zone: hours up and hours out, by median and 90th percentile."""

    availability: float
    up_median_h: float
    up_p90_h: float
    out_median_h: float
    out_p90_h: float


PROFILES = (  # V100 zones of one cloud over 45 days, from stable to hard
    Profile(0.905, 1.4, 18.8, 0.38, 2.9),
    Profile(0.759, 0.87, 14.7, 0.38, 4.6),
    Profile(0.591, 0.54, 5.7, 0.49, 4.7),
    Profile(0.883, 1.0, 14.5, 0.38, 1.8),
    Profile(0.682, 1.1, 13.5, 0.70, 4.8),
    Profile(0.447, 0.54, 4.6, 0.70, 4.7),
)


@dataclass(frozen=True)
class Steps:
    """A value that changes at certain times; it begins anew after `span_s`."""

    at_s: tuple[float, ...]  # rising, the first is 0
    values: tuple[float, ...]
    span_s: float

    def at(self, t_s: float) -> float:
        return self.values[bisect.bisect_right(self.at_s, t_s % self.span_s) - 1]

    def first_below(self, start_s: float, end_s: float, limit: float) -> float | None:
        """The first moment in [start, end] with a value under the limit."""
        t_s = start_s
        while t_s <= end_s:
            if self.at(t_s) < limit:
                return t_s
            t_s = self._next_change(t_s)
        return None

    def _next_change(self, t_s: float) -> float:
        rounds, inside = divmod(t_s, self.span_s)
        index = bisect.bisect_right(self.at_s, inside)
        return rounds * self.span_s + (self.at_s[index] if index < len(self.at_s) else self.span_s)


def chance(seed: int, *path: object) -> float:
    """A number in (0, 1) that depends on the seed and the path alone, in every process alike."""
    text = "/".join(str(part) for part in (seed, *path))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2.0**64


def lognormal_h(u: float, median_h: float, p90_h: float) -> float:
    return median_h * math.exp(math.log(p90_h / median_h) / _Z90 * _NORMAL.inv_cdf(u))


class Market:
    """Capacity and price of every pool by market time; made when first asked for."""

    def __init__(
        self,
        capacity: Callable[[Pool], Steps],
        price_ratio: Callable[[Pool], Steps],
    ) -> None:
        self._make_capacity = capacity
        self._make_ratio = price_ratio
        self._capacity: dict[Pool, Steps] = {}
        self._ratio: dict[Pool, Steps] = {}

    def capacity(self, pool: Pool, t_s: float) -> int:
        return int(self._steps(pool).at(t_s))

    def price_ratio(self, pool: Pool, t_s: float) -> float:
        """Spot price as a share of the on-demand price."""
        if pool not in self._ratio:
            self._ratio[pool] = self._make_ratio(pool)
        return self._ratio[pool].at(t_s)

    def falls_below(self, pool: Pool, start_s: float, end_s: float, machines: int) -> float | None:
        """When in that time the pool first has room for fewer than so many machines."""
        return self._steps(pool).first_below(start_s, end_s, machines)

    def _steps(self, pool: Pool) -> Steps:
        if pool not in self._capacity:
            self._capacity[pool] = self._make_capacity(pool)
        return self._capacity[pool]


def calm(config: CloudConfig) -> Market:
    """Nobody is ever interrupted; prices move."""
    return Market(
        lambda pool: Steps((0.0,), (_type(config, pool).capacity,), SPAN_S),
        lambda pool: seeded_prices(config.market.seed, pool),
    )


def seeded(config: CloudConfig) -> Market:
    zones = config.all_zones

    def capacity(pool: Pool) -> Steps:
        profile = PROFILES[zones.index(pool[0]) % len(PROFILES)]
        return seeded_capacity(config.market.seed, pool, profile, _type(config, pool).capacity)

    return Market(capacity, lambda pool: seeded_prices(config.market.seed, pool))


def seeded_capacity(seed: int, pool: Pool, profile: Profile, full: int) -> Steps:
    """Ups and outages in turn; an up has all machines of the pool or, one time in four, only some."""
    up = chance(seed, *pool, "first") < profile.availability
    times, values, t_s, number = [], [], 0.0, 0
    while t_s < SPAN_S:
        u = chance(seed, *pool, "length", number)
        if up:
            length_h = lognormal_h(u, profile.up_median_h, profile.up_p90_h)
            some = chance(seed, *pool, "some", number) < 0.25
            values.append(max(1.0, float(math.ceil(full / 2))) if some else float(full))
        else:
            length_h = lognormal_h(u, profile.out_median_h, profile.out_p90_h)
            values.append(0.0)
        times.append(t_s)
        t_s += max(60.0, length_h * HOUR_S)
        up, number = not up, number + 1
    return Steps(tuple(times), tuple(values), SPAN_S)


def seeded_prices(seed: int, pool: Pool) -> Steps:
    """A slow walk, once an hour, around a level of the pool's own between 30 and 45 percent."""
    level = 0.30 + 0.15 * chance(seed, *pool, "level")
    ratio, values = level, []
    for hour in range(int(SPAN_S / HOUR_S)):
        drift = 0.1 * (level - ratio) + 0.01 * _NORMAL.inv_cdf(chance(seed, *pool, "price", hour))
        ratio = min(0.9, max(0.15, ratio + drift))
        values.append(round(ratio, 4))
    return Steps(tuple(hour * HOUR_S for hour in range(len(values))), tuple(values), SPAN_S)


def _type(config: CloudConfig, pool: Pool) -> InstanceType:
    found = config.type_named(pool[1])
    if found is None:
        raise KeyError(f"there is no instance type {pool[1]}")
    return found
