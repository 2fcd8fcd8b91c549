"""`python -m tests.model` explores every cast; `--mutant NAME` breaks the protocol and tells what happens."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack

from tests.model.casts import CASTS, Cast
from tests.model.explore import STATES_MAX, explore
from tests.model.mutants import MUTANTS, Mutant, broken
from tests.model.story import story
from tests.model.world import World


def main() -> int:
    names = ", ".join(repr(mutant.name) for mutant in MUTANTS)
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--cast", help=f"only this one of {', '.join(repr(cast.name) for cast in CASTS)}")
    parser.add_argument("--actors", type=int, default=3, help="only casts of at most so many actors")
    parser.add_argument("--lost", type=int, help="replies that may be lost (2)")
    parser.add_argument("--freezes", type=int, help="writers that may be closed while they live (1)")
    parser.add_argument("--deaths", type=int, help="actors that may die, in the casts that have it (1)")
    parser.add_argument("--states", type=int, default=STATES_MAX, help="give up after so many")
    parser.add_argument("--mutant", help=f"one of {names}, or 'all'")
    asked = parser.parse_args()
    broke = False
    if asked.cast and asked.cast not in {cast.name for cast in CASTS}:
        parser.error(f"there is no cast {asked.cast!r}")
    if asked.mutant:
        chosen = [mutant for mutant in MUTANTS if asked.mutant in (mutant.name, "all")]
        if not chosen:
            parser.error(f"there is no mutant {asked.mutant!r}")
        for mutant in chosen:
            cast = next(cast for cast in CASTS if cast.name == (asked.cast or mutant.cast))
            broke |= _one(cast, asked, mutant)
        return 1 if broke else 0
    for cast in CASTS:
        if asked.cast in (None, cast.name) and len(cast.actors) - (cast.begun == "over") <= asked.actors:
            broke |= _one(cast, asked, None)
    return 1 if broke else 0


def _one(cast: Cast, asked: argparse.Namespace, mutant: Mutant | None) -> bool:
    def budget(given: int | None, of_mutant: int, otherwise: int) -> int:
        return given if given is not None else (of_mutant if mutant else otherwise)

    lost = budget(asked.lost, mutant.lost if mutant else 0, 2)
    freezes = budget(asked.freezes, mutant.freezes if mutant else 0, 1)
    deaths = budget(asked.deaths, mutant.deaths if mutant else 0, 1) if cast.mortal else 0
    begun_s = time.process_time()
    with ExitStack() as stack:
        if mutant:
            stack.enter_context(broken(mutant))
        found = explore(World(cast, lost, freezes, deaths), asked.states)
        lines = list(story(found.trace, found.problem)) if found.problem else []
    took_s = time.process_time() - begun_s
    said = f"mutant {mutant.name!r} in " if mutant else ""
    ended = "BROKEN" if found.problem else ("all of them, nothing is broken" if found.whole else "not all")
    _say(
        f"{said}{cast.name!r} ({cast.about}): {lost} lost, {freezes} frozen, {deaths} dead: "
        f"{found.states:,} states ({found.cores:,} cores), {found.steps:,} steps, "
        f"{took_s:.0f} s of CPU: {ended}"
    )
    for line in lines:
        _say(line)
    return bool(found.problem)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
