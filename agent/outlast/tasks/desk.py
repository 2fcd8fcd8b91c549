"""A task with a mailbox that carries out one order after another, and the flag that calls an order off."""

from __future__ import annotations

from collections.abc import Callable

from outlast.news import News, Trouble
from outlast.ports import BucketError, Denied, Runtime

Post = Callable[[News], None]


class Flag:
    """Set once by the loop, read by the task whose long order it calls off."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def __call__(self) -> bool:
        return self._set


class Wanted:
    """Hands out the flag of each long order: what was ordered before `call_off` is not wanted any more.

    An order after it is: a release that did not come through is taken back when its reason goes away, and
    the attempt goes on with uploads like any other.
    """

    def __init__(self) -> None:
        self._off = Flag()

    def order(self) -> Flag:
        if self._off():
            self._off = Flag()
        return self._off

    def call_off(self) -> None:
        self._off.set()


class Desk:
    """Orders are closures over what the desk's owner may touch; they run one at a time, in order."""

    def __init__(self, runtime: Runtime, name: str, *, gives_way: bool = False) -> None:
        self._inbox = runtime.mailbox()
        runtime.spawn(name, self._run, gives_way=gives_way)

    def give(self, order: Callable[[], None]) -> None:
        self._inbox.put(order)

    def _run(self) -> None:
        while True:
            order = self._inbox.get(None)
            if order is not None:
                order()


def trouble(error: BucketError | OSError) -> Trouble:
    return Trouble(f"{error}", lasting=isinstance(error, Denied))
