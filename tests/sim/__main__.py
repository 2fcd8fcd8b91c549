"""`python -m tests.sim --seed N [--trace]` tells one seed; `--count N` runs that many from there on."""

from __future__ import annotations

import argparse
import sys

from tests.sim.quiet import quiet
from tests.sim.soak import soak

from outlast_orchestrator.simulate.plan import SIZES
from outlast_orchestrator.simulate.story import Story
from outlast_orchestrator.simulate.world import World


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the seed, or the first one with --count")
    parser.add_argument("--count", type=int, default=0, help="run that many seeds from --seed on")
    parser.add_argument("--size", choices=list(SIZES), default="short", help="a few dense hours, or a day")
    parser.add_argument("--workers", type=int, default=1, help="with --count: so many processes")
    parser.add_argument("--trace", action="store_true", help="tell the story in words")
    parser.add_argument("--rows", action="store_true", help="with every row of the store")
    parser.add_argument("--digest", action="store_true", help="only the hash of the event log")
    asked = parser.parse_args()
    if asked.count:
        return soak(range(asked.seed, asked.seed + asked.count), asked.size, asked.workers, _say)
    return _one(asked)


def _one(asked: argparse.Namespace) -> int:
    story = (Story(_say, rows=asked.rows),) if asked.trace else ()
    with quiet():
        world = World(asked.seed, SIZES[asked.size], witnesses=story, keep_digest=asked.digest)
        found = world.run()
    if asked.digest:
        _say(world.history.digest())
        return 0
    hours, counts = world.clock.now_s / 3600.0, world.faults.counts
    faults = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
    _say(f"{asked.size} seed {asked.seed}: {hours:.1f} simulated hours, {world.jobs} jobs, faults: {faults}")
    _say("\n".join(str(one) for one in found) or "nothing was broken")
    return 1 if found else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
