"""How often to save under `every: auto`: by what a save costs, and how soon the machine may be lost. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from outlast.protocol.limits import AUTO_EVERY_MAX_S

FIRST_S = 120.0  # nothing was measured yet: the first save shows what one costs
LEAST_S = 30.0
MOST_S = AUTO_EVERY_MAX_S  # where no loss is to be expected, a person may still want to go back
STALL_LEAST_S = 0.1
NOTABLE = 1.25  # a change by less than this factor is not told

# (age of the machine, losses an hour) of spot machines: minus the logarithm of the measured chance to be up
# one hour later, over 1,890 lives of single machines; the first hour cut where those lives end most. Steps,
# so that the interval changes a few times in a life and not at every look.
SPOT_LOSSES_H = (
    (0.0, 1.0), (0.5 * 3600, 0.58), (1 * 3600, 0.42), (2 * 3600, 0.21), (4 * 3600, 0.20),
    (8 * 3600, 0.13), (16 * 3600, 0.062),
)  # fmt: skip
ON_DEMAND_LOSSES_H = 0.002  # hardware and maintenance: once in some weeks
ON_DEMAND = "on-demand"


@dataclass(frozen=True)
class Measured:
    """`stall_s`: how long the trainer stands still for a save; `upload_s`: one save's way to the bucket."""

    stall_s: float | None
    upload_s: float | None
    age_s: float  # of the machine, as far as its agent knows
    market: str = ""  # "" is taken for spot
    told: bool = False  # the trainer itself told the stall


@dataclass(frozen=True)
class Interval:
    every_s: float
    why: str


def losses_h(age_s: float, market: str) -> float:
    """Losses an hour of a machine of this age."""
    if market == ON_DEMAND:
        return ON_DEMAND_LOSSES_H
    age_s = max(0.0, age_s)
    return [rate for begin_s, rate in SPOT_LOSSES_H if begin_s <= age_s][-1]


def choose(measured: Measured) -> Interval:
    """√(2 × stall × time between losses): what stalls and what losses cost is then the same.

    Not more often than an upload takes: what is replaced before its upload begins was for nothing.
    """
    if measured.stall_s is None:
        return Interval(FIRST_S, "no save was measured yet")
    stall_s = max(measured.stall_s, STALL_LEAST_S)
    between_s = 3600.0 / losses_h(measured.age_s, measured.market)
    best_s = math.sqrt(2.0 * stall_s * between_s)
    cost = f"a save stalls the training {stall_s:.1f} s" if measured.told else f"a save takes {stall_s:.1f} s"
    kind = "an on-demand" if measured.market == ON_DEMAND else "a spot"
    since = "" if measured.market == ON_DEMAND else f" that is {_since(measured.age_s)} old"
    why = f"{cost}, and {kind} machine{since} is lost about every {between_s / 3600:.1f} h"
    if measured.upload_s is not None and best_s < measured.upload_s:
        return _bounded(measured.upload_s, f"{why}, but an upload takes {measured.upload_s:.0f} s")
    return _bounded(best_s, why)


def _since(age_s: float) -> str:
    """The step of the table that holds now: a text that changes only when the interval does."""
    age_s = max(0.0, age_s)
    hours = [begin_s for begin_s, _ in SPOT_LOSSES_H if begin_s <= age_s][-1] / 3600
    return f"{hours:g} h" if hours else "less than half an hour"


def _bounded(every_s: float, why: str) -> Interval:
    if every_s > MOST_S:
        return Interval(MOST_S, f"{why}; never more than {MOST_S:.0f} s apart")
    if every_s < LEAST_S:
        return Interval(LEAST_S, f"{why}; never less than {LEAST_S:.0f} s apart")
    return Interval(every_s, why)


def notable(before_s: float | None, after_s: float) -> bool:
    """Whether people should hear of the change."""
    if before_s is None:
        return True
    return max(before_s, after_s) >= NOTABLE * min(before_s, after_s)
