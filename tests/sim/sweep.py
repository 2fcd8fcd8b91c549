"""Runs many seeds and adds up what they went through."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.sim.quiet import quiet

from outlast_orchestrator.simulate.world import World

SEEDS_FILE = Path(__file__).with_name("seeds.txt")
OPEN_FILE = Path(__file__).with_name("open_seeds.txt")
AGAIN = "python -m tests.sim --seed {seed} --trace"


@dataclass
class Sums:
    """Of all seeds that were run."""

    seeds: int = 0
    jobs: int = 0
    hours: float = 0.0
    faults: int = 0
    kinds: int = 0  # summed over the seeds
    machines: int = 0
    attempts: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def add(self, world: World) -> None:
        self.seeds += 1
        self.jobs += world.plan.jobs
        self.hours += world.clock.now_s / 3600.0
        self.faults += sum(world.faults.counts.values())
        self.kinds += len(world.faults.counts)
        self.machines += len(world.hosts)
        self.attempts += world.store.attempts_made()
        for kind, count in world.faults.counts.items():
            self.by_kind[kind] = self.by_kind.get(kind, 0) + count

    def text(self) -> str:
        count = max(self.seeds, 1)
        kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(self.by_kind.items()))
        return (
            f"{self.seeds} seeds; a mean seed has {self.jobs / count:.1f} jobs, {self.hours / count:.1f} "
            f"simulated hours, {self.faults / count:.1f} faults of {self.kinds / count:.1f} kinds, "
            f"{self.machines / count:.1f} machines and {self.attempts / count:.1f} attempts\n"
            f"faults in all: {kinds}"
        )


def sweep(seeds: Iterable[int], tell: Callable[[str], None] = lambda _line: None) -> Sums:
    """`tell` hears of a broken seed at once."""
    sums = Sums()
    with quiet():
        for seed in seeds:
            world = World(seed)
            found = world.run()
            sums.add(world)
            if found:
                sums.broken.append(f"seed {seed}: {found[0]}\n  {AGAIN.format(seed=seed)}")
                tell(sums.broken[-1])
    return sums


def known_seeds() -> list[int]:
    """Seeds that once found a fault, one a line, with a word on what it was."""
    return _listed(SEEDS_FILE)


def open_seeds() -> list[int]:
    """Seeds that break a checker today."""
    return _listed(OPEN_FILE)


def _listed(path: Path) -> list[int]:
    lines = path.read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")]
