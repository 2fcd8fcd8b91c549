"""Time, mailboxes and chance as one simulated process sees them: its Runtime and its Clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from outlast_orchestrator.simulate.clock import Dice, Process, SimClock, Task

WALL_START_S = 1_800_000_000.0  # an arbitrary instant; no decision may depend on it


class SimMailbox:
    """The simulation's `outlast.ports.Mailbox`."""

    def __init__(self, clock: SimClock) -> None:
        self._clock = clock
        self._items: deque[Any] = deque()
        self._waiting: deque[tuple[Task, int]] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)
        if self._waiting:
            task, number = self._waiting.popleft()
            self._clock.wake(task, number, True)

    def get(self, timeout_s: float | None) -> Any | None:
        clock, items = self._clock, self._items
        clock.step()
        until_s = None if timeout_s is None else clock.now_s + timeout_s
        while not items:
            if until_s is not None and clock.now_s >= until_s:
                return None
            task = clock.task()
            waiting = (task, task.waiting + 1)
            self._waiting.append(waiting)
            clock.wait(until_s)
            if waiting in self._waiting:
                self._waiting.remove(waiting)
        return items.popleft()


class ProcessRuntime:
    """The simulation's `outlast.ports.Runtime` and `core.ports.Clock`, as one process sees them."""

    def __init__(self, process: Process, dice: Dice) -> None:
        self._process = process
        self._clock = process.clock
        self._dice = dice
        self._offset_s = float(dice.randrange(10_000))  # means nothing to another process

    def monotonic_s(self) -> float:
        return self._clock.now_s + self._offset_s

    def boot_s(self) -> float:
        return self._clock.now_s + self._offset_s

    def wall_s(self) -> float:
        return WALL_START_S + self._clock.now_s + self._process.skew_s

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    def mailbox(self) -> SimMailbox:
        return SimMailbox(self._clock)

    def spawn(self, name: str, run: Callable[[], None], *, gives_way: bool = False) -> None:
        del gives_way  # simulated processors are never busy
        self._process.spawn(name, run)

    def token(self, nbytes: int) -> str:
        return self._dice.randbytes(nbytes).hex()

    def uniform(self) -> float:
        return self._dice.random()
