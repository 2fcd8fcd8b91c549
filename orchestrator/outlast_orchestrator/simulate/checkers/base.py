"""What every checker is: a witness that writes down how its invariant was broken."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from outlast.protocol.codec import load
from outlast.protocol.objects import POINTER_KEY, Manifest, Pointer
from outlast_orchestrator.simulate.history import Fact, Wrote


@dataclass(frozen=True)
class Violation:
    at_s: float
    checker: str
    text: str

    def __str__(self) -> str:
        return f"{self.checker} broken at {self.at_s:.1f} s: {self.text}"


@dataclass(frozen=True)
class Move:
    """One write of a job's pointer."""

    job: str
    by: str  # process
    before: Pointer | None
    after: Pointer


class Checker:
    """Sees every fact in order; `finish` judges the end of the world."""

    name = "checker"
    sees: tuple[type[Fact], ...] = ()  # the kinds that `saw` looks at

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.now_s = 0.0

    def see(self, at_s: float, fact: Fact) -> None:
        self.now_s = at_s
        move = _move_in(fact)
        if move is not None:
            self.moved(move)
        elif type(fact) in self.sees:
            self.saw(fact)

    def moved(self, move: Move) -> None:
        """The pointer was written."""

    def saw(self, fact: Fact) -> None:
        """Any other fact of the kinds in `sees`."""

    def finish(self, at_s: float) -> None:
        """The world has come to its end, in peace."""

    def broken(self, text: str) -> None:
        self.violations.append(Violation(self.now_s, self.name, text))


class Panel:
    """Passes every fact to the checkers that look at its kind."""

    def __init__(self, checkers: Sequence[Checker]) -> None:
        plain = [checker for checker in checkers if type(checker).see is Checker.see]
        self._others = [checker for checker in checkers if checker not in plain]
        self._movers = [checker for checker in plain if type(checker).moved is not Checker.moved]
        self._seers = {kind: [one for one in plain if kind in one.sees] for kind in get_args(Fact)}

    def see(self, at_s: float, fact: Fact) -> None:
        for checker in self._others:
            checker.see(at_s, fact)
        move = _move_in(fact)
        if move is None:
            for checker in self._seers[type(fact)]:
                checker.now_s = at_s
                checker.saw(fact)
            return
        for checker in self._movers:
            checker.now_s = at_s
            checker.moved(move)


def _move_in(fact: Fact) -> Move | None:
    if not isinstance(fact, Wrote) or not fact.key.endswith("/" + POINTER_KEY):
        return None
    before = None if fact.before is None else pointer_in(fact.before)
    return Move(job_of(fact.key), fact.by, before, pointer_in(fact.body))


@functools.lru_cache(maxsize=256)
def pointer_in(body: bytes) -> Pointer:
    return load(Pointer, body)


@functools.lru_cache(maxsize=256)
def manifest_in(body: bytes) -> Manifest:
    return load(Manifest, body)


def job_of(key: str) -> str:
    """`jobs/<job>/…` → the job."""
    return key.split("/", 2)[1]


def path_of(key: str) -> str:
    """`jobs/<job>/<path>` → the path under the job's prefix."""
    return key.split("/", 2)[2]


def machine_of(process: str) -> str:
    """`agent/<machine>/<n>` → the machine; "" for other processes."""
    parts = process.split("/")
    return parts[1] if parts[0] == "agent" and len(parts) > 1 else ""
