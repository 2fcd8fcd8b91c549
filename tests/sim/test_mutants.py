"""The checkers are worth what they catch: every mutant of the real code is caught within some seeds."""

from __future__ import annotations

import os

import pytest
from tests.sim.mutants import DESIGN, MUTANTS, seeds_of
from tests.sim.mutants_edit import changed, edit
from tests.sim.mutants_hunt import SEEDS_MAX, Mutant, hunt

from outlast.bucket.prune import _is_older
from outlast_orchestrator.simulate.checkers.crashes import Crashes

SOAK = "OUTLAST_SEEDS" in os.environ
OWN_MIN = 10


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    """By the seed that is known to catch it; if the worlds have changed since, by another one."""
    found = hunt(mutant, seeds_of(mutant, from_zero=SOAK))
    assert found.caught, f"{mutant.name!r} lived through {found.tried} seeds; else broken: {found.others}"


def test_the_list_is_whole() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names)
    assert [name for name in DESIGN if name not in names] == []
    assert [m.name for m in MUTANTS if m.own == (m.name in DESIGN)] == []
    assert sum(mutant.own for mutant in MUTANTS) >= OWN_MIN
    assert all(mutant.seeds <= SEEDS_MAX for mutant in MUTANTS)
    # An exception is what every careless change leads to: it proves nothing about the checkers.
    assert all(Crashes.name not in mutant.by for mutant in MUTANTS)


def test_a_change_is_undone_whatever_happens() -> None:
    change = edit("outlast.bucket.prune:_is_older", "< generation", "> generation")
    name = "000000010-g2-aa"

    def fail() -> None:
        with changed((change,)):
            assert not _is_older(name, 3)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert _is_older(name, 3)


def test_a_change_of_what_is_not_there_is_refused() -> None:
    absent = edit("outlast.bucket.prune:_is_older", "no such text", "")
    with pytest.raises(AssertionError, match="mend the mutant"), changed((absent,)):
        pass


def test_what_breaks_without_the_mutant_is_no_catch() -> None:
    """A mutant that changes nothing is caught by nothing, and an exception is told apart from a catch."""
    harmless = Mutant("harmless", (), ("closure",), "pointer", seeds=1)
    assert not hunt(harmless, [0]).caught
    crash = edit(
        "outlast.bucket.verbs:build_advance", "kept, head = found", "raise KeyError; kept, head = found"
    )
    found = hunt(Mutant("crash", (crash,), ("closure",), "pointer"), [0])
    assert not found.caught
    assert Crashes.name in found.others[0]
