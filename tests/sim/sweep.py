"""Runs many seeds and adds up what they went through."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.sim.quiet import quiet

from outlast_orchestrator.simulate.plan import SIZES
from outlast_orchestrator.simulate.world import World

SEEDS_FILE = Path(__file__).with_name("seeds.txt")
AGAIN = "python -m tests.sim --size {size} --seed {seed} --trace"


@dataclass
class Sums:
    """Of all seeds that were run."""

    seeds: int = 0
    jobs: int = 0
    hours: float = 0.0
    faults: int = 0
    acts: int = 0  # of people
    kinds: int = 0  # summed over the seeds
    pairs: int = 0  # worlds with two controllers
    machines: int = 0
    attempts: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def add(self, world: World) -> None:
        self.seeds += 1
        self.jobs += world.jobs
        self.hours += world.clock.now_s / 3600.0
        self.faults += sum(world.faults.counts.values())
        self.acts += world.people.acts
        self.kinds += len(world.faults.counts)
        self.pairs += len(world.rooms) == 2
        self.machines += len(world.hosts)
        self.attempts += world.store.attempts_made()
        self._count(world.faults.counts)

    def _count(self, by_kind: dict[str, int]) -> None:
        for kind, count in by_kind.items():
            self.by_kind[kind] = self.by_kind.get(kind, 0) + count

    def join(self, other: Sums) -> None:
        for name in ("seeds", "jobs", "hours", "faults", "acts", "kinds", "pairs", "machines", "attempts"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._count(other.by_kind)
        self.broken += other.broken

    def text(self) -> str:
        count = max(self.seeds, 1)
        kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(self.by_kind.items()))
        return (
            f"{self.seeds} seeds; a mean seed has {self.jobs / count:.1f} jobs, {self.hours / count:.1f} "
            f"simulated hours, {self.faults / count:.1f} faults of {self.kinds / count:.1f} kinds, "
            f"{self.acts / count:.1f} acts of people, {self.machines / count:.1f} machines and "
            f"{self.attempts / count:.1f} attempts; two controllers in {self.pairs}\n"
            f"faults in all: {kinds}"
        )


def sweep(seeds: Iterable[int], size: str, tell: Callable[[str], None] = lambda _line: None) -> Sums:
    """`tell` hears of a broken seed at once."""
    sums = Sums()
    with quiet():
        for seed in seeds:
            world = World(seed, SIZES[size])
            found = world.run()
            sums.add(world)
            if found:
                again = AGAIN.format(size=size, seed=seed)
                sums.broken.append(f"{size} seed {seed}: {found[0]}\n  {again}")
                tell(sums.broken[-1])
    return sums


def known_seeds(size: str) -> list[int]:
    """Seeds that once found a fault: `size number what it was`, one a line."""
    lines = [line.split() for line in SEEDS_FILE.read_text().splitlines()]
    return [int(words[1]) for words in lines if words and words[0] == size]
