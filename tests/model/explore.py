"""Visits every state that can be reached, those with the fewest faults first, nearest first among them.

A state is left out when another one of the same core covers it: one that was visited already, in which the
adversary can still do all that it could do here. That is sound for everything that must *never* happen, and
it is why the order is by faults: what had fewer of them covers what had more.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from tests.model.states import Action, State
from tests.model.world import World

from outlast.bucket import commit, writer

STATES_MAX = 20_000_000
TRIES = 2


@dataclass(frozen=True)
class Explored:
    """What an exploration found. `whole`: nothing was left out."""

    states: int
    cores: int  # without the budgets and what is on its way
    steps: int
    ends: int  # states from which nothing happens any more
    whole: bool
    problem: str
    trace: tuple[Action, ...]


class _Seen:
    """The states found so far, by core, and those of them that still wait, by the faults they had."""

    def __init__(self, start: State) -> None:
        self.cores: dict[object, list[State]] = {}
        self.parents, self.turns = array("l"), array("H")  # from where, and the how many-th way on from there
        self._waiting: list[deque[tuple[int, State]]] = []
        self._full = start.lost + start.freezes + start.deaths
        self.add(start, 0, 0)

    def add(self, state: State, parent: int, turn: int) -> None:
        known = self.cores.get(state.core)
        if known is None:
            known = self.cores[state.core] = []
        elif any(other.covers(state) for other in known):
            return
        known.append(state)
        faults = self._full - state.lost - state.freezes - state.deaths
        while len(self._waiting) <= faults:
            self._waiting.append(deque())
        self._waiting[faults].append((len(self.parents), state))
        self.parents.append(parent)
        self.turns.append(turn)

    def waiting(self) -> Iterator[tuple[int, State]]:
        for queue in self._waiting:  # grows while it is walked: a state never leads to one with fewer faults
            while queue:
                yield queue.popleft()

    def way(self, number: int) -> list[int]:
        way = []
        while number:
            way.append(self.turns[number])
            number = self.parents[number]
        return way[::-1]


def explore(world: World, states_max: int = STATES_MAX) -> Explored:
    with _impatient():
        return _explore(world, states_max)


@contextmanager
def _impatient() -> Iterator[None]:
    """Two tries, and not five, before a verb gives up in doubt: so two lost replies are enough for it."""
    before = writer.TRIES_MAX, commit.CREATE_TRIES_MAX
    writer.TRIES_MAX = commit.CREATE_TRIES_MAX = TRIES
    try:
        yield
    finally:
        writer.TRIES_MAX, commit.CREATE_TRIES_MAX = before


def _explore(world: World, states_max: int) -> Explored:
    start, prelude = world.start()
    if prelude and prelude[-1].problem:
        return Explored(
            0, 0, len(prelude), 0, False, prelude[-1].problem, tuple(step.action for step in prelude)
        )
    seen = _Seen(start)
    steps = ends = 0
    problem, whole = "", True
    trace: tuple[Action, ...] = ()
    for number, state in seen.waiting():
        quiet = True
        for turn, (_, after, problem) in enumerate(world.next(state)):
            steps += 1
            if problem:
                trace = _trace(world, start, [*seen.way(number), turn])
                break
            quiet = quiet and after == state
            seen.add(after, number, turn)
        ends += quiet
        whole = not problem and len(seen.parents) < states_max
        if not whole:
            break
    return Explored(len(seen.parents), len(seen.cores), steps, ends, whole, problem, trace)


def _trace(world: World, state: State, way: list[int]) -> tuple[Action, ...]:
    """The actions on the way, found again from the turns alone: no action is stored."""
    actions = []
    for turn in way:
        action, state, _ = next(islice(world.next(state), turn, None))
        actions.append(action)
    return tuple(actions)
