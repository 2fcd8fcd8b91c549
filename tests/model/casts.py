"""Who plays: small worlds of at most three actors at a time, each with all that may be done to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.model.attempt import Actor, Attempt
from tests.model.others import Person, Reborn

FOUNDER_SAVES = 2  # before the exploration begins: the next save makes the first one leave


@dataclass(frozen=True)
class Cast:
    name: str
    about: str
    actors: tuple[Actor, ...]
    # What the first actor did before the exploration begins: it claimed and saved, or it is even over.
    begun: Literal["claimed", "over"] = "claimed"
    forgets: int = 0  # how often the controller may be restored from an old backup
    mortal: frozenset[str] = frozenset()
    heir: str = ""  # the attempt that a roll-back is meant for


def founder(ending: str = "release", saves: int = 1) -> Attempt:
    return Attempt("w1", "plan", writer="lw1", saves=FOUNDER_SAVES + saves, ending=ending)


def numbered(name: str, generation: int, ending: str = "release", saves: int = 1) -> Attempt:
    """Its number was taken long ago, and nobody else has it."""
    return Attempt(name, "ask", writer=f"l{name}", generation=generation, saves=saves, ending=ending)


def planned(name: str, saves: int = 1) -> Attempt:
    return Attempt(name, "plan", writer=f"l{name}", saves=saves)


def twins(first: str, second: str, generation: int) -> tuple[Attempt, Attempt]:
    """Two machines that were launched for one attempt: the same number, and different writers."""
    one, other = numbered(first, generation), numbered(second, generation)
    one.twin_of = other.twin_of = "both"
    return one, other


CASTS = (
    Cast(
        "handover",
        "three generations: the first releases the job or is closed, so does the second, the third ends it",
        (founder(), numbered("w2", 2), numbered("w3", 3, "0")),
    ),
    Cast(
        "failures",
        "three generations: the first fails, the second ends with 0, the third may only go on if permitted",
        (founder("1"), numbered("w2", 2, "0"), numbered("w3", 3)),
    ),
    Cast(
        "twins",
        "a running attempt, and two machines for its successor",
        (founder(), *twins("w2", "w2b", 2)),
    ),
    Cast(
        "dead twin",
        "the first attempt is over; of two machines for the second one may die at any time; the third waits",
        (founder(saves=0), *twins("w2", "w2b", 2), numbered("w3", 3)),
        begun="over",
        mortal=frozenset({"w2"}),
    ),
    Cast(
        "long",
        "two generations that save twice: checkpoints leave, the other one's too",
        (founder(), numbered("w2", 2, saves=2)),
    ),
    Cast(
        "pin",
        "two generations, and a person who wants the oldest checkpoint pinned",
        (founder(), numbered("w2", 2), Person("person", "look", wish="pin")),
    ),
    Cast(
        "roll-back",
        "two generations, and a person who wants the second to go on from the oldest checkpoint",
        (founder(), numbered("w2", 2), Person("person", "look", wish="back")),
        heir="w2",
    ),
    Cast(
        "restored",
        "a controller that may be restored from an old backup plans two successors; numbers are really taken",
        (founder(saves=0), planned("w2"), planned("w3", saves=0)),
        forgets=1,
    ),
    Cast(
        "reborn",
        "the agent may die anywhere and is started again on its disk, while a successor waits",
        (founder(), Reborn("w1 again", "look", writer="lw1", generation=1, attempt="w1"), numbered("w2", 2)),
        mortal=frozenset({"w1"}),
    ),
)
