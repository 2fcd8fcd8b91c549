"""`python -m tests.sim.mutants [--from-zero] [NAME]`: a table of all mutants, and what caught each of them.

Every mutant is the real code with one thing changed, in memory. Without `--from-zero` the search begins
with the seed that is stored beside the mutant; with it, every seed from 0 on is tried.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterable

from tests.sim.mutants_agent import AGENT
from tests.sim.mutants_bucket import BUCKET
from tests.sim.mutants_does import DOES
from tests.sim.mutants_gang import GANGS
from tests.sim.mutants_health import HEALTH
from tests.sim.mutants_hunt import Hunt, Mutant, hunt
from tests.sim.mutants_sees import SEES
from tests.sim.mutants_store import STORE

MUTANTS: tuple[Mutant, ...] = (*BUCKET, *SEES, *DOES, *STORE, *AGENT, *GANGS, *HEALTH)

# The list of the design, word by word: none may be missing here.
DESIGN = (
    "prune before the write is applied",
    "return to `kept`",
    "collect higher generations",
    "reference outside the parent",
    "an equal generation counts as mine whatever the body",
    "a lower generation stops a claimer",
    "a closed generation instead of a closed writer",
    "a permission without its (generation, writer)",
    "re-naming decided before the head moved",
    "claim at boot",
    "claim over whatever is there",
    "claim over `ended`",
    "an abandoned attempt counts as closed",
    "claim after read",
    "one missed listing is gone",
    "a stale listing counts",
    "Unknown as empty",
    "silence from stored times",
    "exit 0 is success",
    "no `ended` state",
    "404 means step 0",
    "order by step",
    "launch before save",
    "new try after a time-out",
    "token resent after its life",
    "sweep reads the store first",
    "no term",
    "a generation taken from the store alone",
    "pointer before data",
    "the same key twice",
    "dead-man on controller silence",
)

HEAD = "| mutant | caught by | world | seeds | CPU s |\n|---|---|---|---|---|"


def seeds_of(mutant: Mutant, *, from_zero: bool) -> Iterable[int]:
    """The known one first, unless the whole search is wanted."""
    if from_zero:
        return range(mutant.seeds)
    others = (seed for seed in range(mutant.seeds) if seed != mutant.seed)
    return itertools.chain((mutant.seed,), others)


def row(found: Hunt) -> str:
    mutant = found.mutant
    origin = " (own)" if mutant.own else ""
    if found.violation is None:
        by = f"**nothing**; {'; '.join(found.others[:2])}"
        return f"| {mutant.name}{origin} | {by} | {mutant.world} | {found.tried} | {found.cpu_s:.1f} |"
    by, seeds = found.violation.checker, f"{found.tried} (seed {found.seed})"
    return f"| {mutant.name}{origin} | {by} | {mutant.world} | {seeds} | {found.cpu_s:.1f} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants", description=__doc__)
    parser.add_argument("--from-zero", action="store_true", help="the whole search, not the known seeds")
    parser.add_argument("names", nargs="*", help="only mutants whose name contains one of these")
    asked = parser.parse_args()
    chosen = [m for m in MUTANTS if not asked.names or any(name in m.name for name in asked.names)]
    if not chosen:
        parser.error(f"no mutant's name contains {' or '.join(map(repr, asked.names))}")
    _say(HEAD)
    alive = 0
    for mutant in chosen:
        found = hunt(mutant, seeds_of(mutant, from_zero=asked.from_zero))
        alive += not found.caught
        _say(row(found))
    _say(f"\n{len(chosen)} mutants, {alive} alive")
    return 1 if alive else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
