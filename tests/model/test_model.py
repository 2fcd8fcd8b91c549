"""Every interleaving of the small model, and the proof that it can fail: each broken protocol is found."""

from __future__ import annotations

import os

import pytest
from tests.model.casts import CASTS, Cast
from tests.model.explore import Explored, explore
from tests.model.mutants import MUTANTS, Mutant, broken
from tests.model.story import story
from tests.model.world import World

FULL = os.environ.get("OUTLAST_MODEL") == "full"

# What the adversary may do to each cast in `make test` (lost replies, freezes, deaths), and how many states
# there are at the least: an exploration that shrinks has lost a part of the protocol, or of the model.
BOUNDED = {
    "handover": (0, 1, 0, 18_000),
    "failures": (0, 1, 0, 19_000),
    "twins": (0, 1, 0, 15_000),
    "dead twin": (0, 1, 1, 24_000),
    "long": (2, 1, 0, 30_000),
    "pin": (0, 1, 0, 7_500),
    "roll-back": (0, 1, 0, 9_000),
    "restored": (0, 1, 0, 35_000),
    "reborn": (1, 1, 1, 50_000),
}
# OUTLAST_MODEL=full: everybody is explored with 2 lost replies and 1 freeze.
WHOLE_STATES_MIN = 10


def _told(found: Explored) -> str:
    return "\n".join(story(found.trace, found.problem))


@pytest.mark.slow
@pytest.mark.parametrize("cast", CASTS, ids=lambda cast: cast.name)
def test_nothing_breaks_in_any_interleaving(cast: Cast) -> None:
    lost, freezes, deaths, states_min = BOUNDED[cast.name]
    if FULL:
        lost, freezes, states_min = 2, 1, WHOLE_STATES_MIN * states_min
    found = explore(World(cast, lost, freezes, deaths))
    assert not found.problem, _told(found)
    assert found.whole
    assert found.states >= states_min, f"only {found.states} states"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_protocol_is_found_and_told(mutant: Mutant) -> None:
    cast = next(cast for cast in CASTS if cast.name == mutant.cast)
    with broken(mutant):
        found = explore(World(cast, mutant.lost, mutant.freezes, mutant.deaths))
        told = _told(found)
    assert found.problem, f"{found.states} states, and nothing was noticed"
    assert "BROKEN" in told
    assert len(told.splitlines()) == len(found.trace) + 1
