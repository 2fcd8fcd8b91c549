"""Every interleaving of the small model, and the proof that it can fail: each broken protocol is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.model.casts import CASTS, Cast
from tests.model.explore import Explored, explore
from tests.model.minds import DoubtfulMinds, Minds
from tests.model.mutants import MUTANTS, Mutant, broken
from tests.model.story import story
from tests.model.world import World

ROOT = Path(__file__).parents[2]
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
# What must come about somewhere in it: without, nothing was tried.
HAPPENS = ("w1 claimed", "w1 committed", "w1 closed", "w2 claimed", "w2 committed", "w2 closed")
HAPPENS_IN = {
    "handover": ("w1 over", "w2 over", "w3 claimed", "w3 committed", "w3 closed"),
    "failures": ("w1 over", "w2 over", "w3 claimed", "w3 committed", "w3 closed"),
    "twins": ("w1 over", "w2 over", "w2b over", "w2b claimed", "w2b committed"),
    "dead twin": ("w2 over", "w2b over", "w2b claimed", "w3 claimed", "w3 committed"),
    "long": ("w1 over",),
    "pin": ("person pinned", "person too late"),
    "roll-back": ("person told", "person too late", "w2 rolled back to", "w1 over"),
    "restored": ("w2 took", "w3 took", "w3 claimed", "w2 over", "w3 over"),
    "reborn": ("w1 again closed", "w1 again over", "w1 over"),
}
# OUTLAST_MODEL=full: everybody is explored with 2 lost replies and 1 freeze.
WHOLE_STATES_MIN = {
    "handover": 1_200_000,
    "failures": 1_200_000,
    "twins": 900_000,
    "dead twin": 1_000_000,
    "long": 40_000,
    "pin": 300_000,
    "roll-back": 300_000,
    "restored": 2_000_000,
    "reborn": 280_000,
}


def _told(found: Explored) -> str:
    return "\n".join(story(found.trace, found.problem))


@pytest.mark.slow
@pytest.mark.parametrize("cast", CASTS, ids=lambda cast: cast.name)
def test_nothing_breaks_in_any_interleaving(cast: Cast) -> None:
    lost, freezes, deaths, states_min = BOUNDED[cast.name]
    if FULL:
        lost, freezes, states_min = 2, 1, WHOLE_STATES_MIN[cast.name]
    minds = Minds()
    found = explore(World(cast, lost, freezes, deaths, minds))
    assert not found.problem, _told(found)
    assert found.whole
    missing = {*HAPPENS, *HAPPENS_IN.get(cast.name, ())} - minds.seen()
    assert not missing, f"it never came to this: {sorted(missing)}"
    assert found.states >= states_min, f"only {found.states} states"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lost"), [("long", 1)] + [(cast.name, 0) for cast in CASTS if FULL], ids=str
)
def test_histories_that_are_taken_for_one_do_the_same(name: str, lost: int) -> None:
    """The reduction is sound: whoever was merged is followed by himself, and arrives where the others do."""
    cast = next(cast for cast in CASTS if cast.name == name)
    minds = DoubtfulMinds()
    found = explore(World(cast, lost, 1, BOUNDED[name][2], minds))
    assert not found.problem, _told(found)
    assert minds.followed >= 100


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_protocol_is_found_and_told(mutant: Mutant) -> None:
    cast = next(cast for cast in CASTS if cast.name == mutant.cast)
    with broken(mutant):
        found = explore(World(cast, mutant.lost, mutant.freezes, mutant.deaths))
        told = _told(found)
    assert mutant.says in found.problem, f"{found.states} states; noticed: {found.problem or 'nothing'}"
    assert "BROKEN" in told
    assert len(told.splitlines()) == len(found.trace) + 1


def test_the_command_tells_a_counterexample() -> None:
    command = [sys.executable, "-m", "tests.model", "--mutant", "pointer before data"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert ran.returncode == 1, ran.stderr
    assert "BROKEN: " in ran.stdout
    assert "but its manifest is not there" in ran.stdout
