"""Runs a mutant through seeds until a checker catches it, and tells a catch from everything else."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tests.sim.harsh_world import HarshWorld
from tests.sim.mutants_edit import Change, changed
from tests.sim.pointer_world import PointerWorld
from tests.sim.quiet import quiet

from outlast_orchestrator.simulate import plan
from outlast_orchestrator.simulate.checkers.base import Violation
from outlast_orchestrator.simulate.checkers.crashes import Crashes
from outlast_orchestrator.simulate.world import World


class Judged(Protocol):
    """A world from a seed, with its checkers."""

    def run(self) -> list[Violation]: ...


SEEDS_MAX = 500
SHORT, HARSH, POINTER, GANG = "short", "harsh", "pointer", "gang"
WORLDS: Mapping[str, Callable[[int], Judged]] = {
    SHORT: lambda seed: World(seed, plan.SHORT),
    GANG: lambda seed: World(seed, plan.GANG),
    HARSH: HarshWorld,
    POINTER: PointerWorld,
}


@dataclass(frozen=True)
class Mutant:
    """`name`: in the words of the design where it stands there. `by`: the checkers that may catch it."""

    name: str
    changes: tuple[Change, ...]
    by: tuple[str, ...]
    world: str = SHORT
    seed: int = 0  # known to catch it
    seeds: int = SEEDS_MAX  # it must be caught within so many
    own: bool = False  # not in the design's list


@dataclass
class Hunt:
    """What came of it. `others`: what else was broken, and does not count as a catch."""

    mutant: Mutant
    tried: int = 0
    cpu_s: float = 0.0
    seed: int | None = None
    violation: Violation | None = None
    others: list[str] = field(default_factory=list)

    @property
    def caught(self) -> bool:
        return self.violation is not None


def hunt(mutant: Mutant, seeds: Iterable[int]) -> Hunt:
    """The first violation of a world decides. An unhandled exception is never a catch, and neither is a
    seed in which the real code breaks something as well."""
    result = Hunt(mutant)
    began_s = time.process_time()
    for seed in seeds:
        result.tried += 1
        found = _run(mutant.world, seed, mutant.changes)
        if not found:
            continue
        first = found[0]
        crashes = [one for one in found if one.checker == Crashes.name]
        if crashes or first.checker not in mutant.by:
            result.others.append(f"seed {seed}: {(crashes or [first])[0]}")
        elif not is_clean(mutant.world, seed):
            result.others.append(f"seed {seed}: broken without the mutant as well")
        else:
            result.seed, result.violation = seed, first
            break
    result.cpu_s = time.process_time() - began_s
    return result


@functools.cache
def is_clean(world: str, seed: int) -> bool:
    """Nothing is broken in that world with the real code."""
    return not _run(world, seed, ())


def _run(world: str, seed: int, changes: tuple[Change, ...]) -> list[Violation]:
    with quiet(), changed(changes):
        return WORLDS[world](seed).run()
