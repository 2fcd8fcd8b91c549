"""States of the model, and the steps between them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, TypeVar

from tests.model.attempt import Note
from tests.model.objects import Reply, Request

T = TypeVar("T", bound=Hashable)


class Numbers(list[T]):
    """Each value once, under a number, so that a state stays small."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[T, int] = {}

    def of(self, value: T) -> int:
        number = self._known.setdefault(value, len(self))
        if number == len(self):
            self.append(value)
        return number


class State(NamedTuple):
    bucket: int
    nodes: tuple[int, ...]
    control: int
    past: int
    flight: tuple[int, ...]  # writes whose sender got no answer: they may still arrive
    lost: int  # what the adversary has left
    freezes: int
    deaths: int

    @property
    def core(self) -> tuple[int, tuple[int, ...], int, int]:
        """What there is, without what may still go wrong."""
        return self[:4]

    def covers(self, other: State) -> bool:
        """Of the same core: whatever can happen from `other` can happen from here."""
        return (
            self.lost >= other.lost
            and self.freezes >= other.freezes
            and self.deaths >= other.deaths
            and set(other.flight) <= set(self.flight)
        )


class Action(NamedTuple):
    kind: str  # does, loses the reply, arrives, dies, closes, permits, forgets
    who: str
    request: Request | None = None
    reply: Reply | None = None
    notes: tuple[Note, ...] = ()


class Next(NamedTuple):
    action: Action
    state: State
    problem: str
