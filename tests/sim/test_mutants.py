"""The checkers are worth what they catch: every mutant is caught within some seeds."""

from __future__ import annotations

import pytest
from tests.sim.mutants import MUTANTS, Mutant, PrunesFirst, anybody_is_closed
from tests.sim.pointer_world import PointerWorld
from tests.sim.quiet import quiet

from outlast_orchestrator.simulate.world import World


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_of_the_controller_is_caught(mutant: Mutant) -> None:
    found: list[str] = []
    with quiet():
        for seed in range(mutant.seeds):
            broken = World(seed, variation=mutant.variation()).run()
            found += [violation.checker for violation in broken]
            if any(checker in mutant.by for checker in found):
                return
    pytest.fail(f"{mutant.name!r} lived through {mutant.seeds} seeds; broken were only {sorted(set(found))}")


def caught_by(worlds: list[PointerWorld]) -> set[str]:
    found: set[str] = set()
    for world in worlds:
        found |= {violation.checker for violation in world.run()}
        if found:
            break
    return found


def test_claiming_over_whatever_is_there_is_caught() -> None:
    worlds = [PointerWorld(seed, allow=anybody_is_closed) for seed in range(10)]
    assert "no claim over a living attempt" in caught_by(worlds)


def test_pruning_before_the_write_is_applied_is_caught() -> None:
    assert "closure" in caught_by([PointerWorld(seed, owner=PrunesFirst) for seed in range(10)])
