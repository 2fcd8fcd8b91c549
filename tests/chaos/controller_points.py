"""Points in a controller's life: counts what it does through its ports, and kills or freezes it at one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

_Result = TypeVar("_Result")

FROZEN_LIMIT_S = 60.0


class Death(BaseException):
    """What ends every thread of a killed controller: nothing in the product catches it."""


@dataclass(frozen=True)
class Point:
    """Before or after the n-th operation of a kind."""

    op: str
    nth: int
    after: bool

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} {self.op} #{self.nth}"


class Tap:
    """All operations of one controller run through here, from whichever thread.

    `freeze` False: at the point it dies, and from then on no operation takes place any more. True: at the
    point it stops with all its threads, until `thaw`.
    """

    def __init__(self, at: Point | None = None, *, freeze: bool = False) -> None:
        self._at = at
        self._freeze = freeze
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()
        self._dead = False
        self._moving = threading.Event()
        self._moving.set()
        self.reached = threading.Event()
        self.points: list[Point] = []
        self.done_since: list[str] = []  # operations that ended well after the point

    def kill(self) -> None:
        self._dead = True
        self._moving.set()

    def thaw(self) -> None:
        self._moving.set()

    def dead(self) -> bool:
        return self._dead

    def around(self, op: str, run: Callable[[], _Result]) -> _Result:
        self._pass()
        with self._lock:
            self._seen[op] += 1
            nth = self._seen[op]
        self._at_point(Point(op, nth, after=False))
        try:
            result = run()
            if self.reached.is_set():
                self.done_since.append(op)
            return result
        finally:
            self._at_point(Point(op, nth, after=True))

    def _at_point(self, point: Point) -> None:
        with self._lock:
            self.points.append(point)
            here = point == self._at and not self.reached.is_set()
            if here:
                if self._freeze:
                    self._moving.clear()
                else:
                    self._dead = True
                self.reached.set()
        self._pass()

    def _pass(self) -> None:
        if not self._moving.wait(FROZEN_LIMIT_S):
            self._dead = True  # the test gave up on it
        if self._dead:
            raise Death


class Tapped:
    """A port whose named methods run through a tap; everything else is as it was."""

    def __init__(self, port: object, name: str, tap: Tap, ops: Collection[str]) -> None:
        self._port = port
        self._name = name
        self._tap = tap
        self._ops = frozenset(ops)

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        if method not in self._ops:
            return found
        op = f"{self._name}.{method}"
        return lambda *given, **named: self._tap.around(op, lambda: found(*given, **named))
