"""Virtual time, seeded chance, and tasks that a fault can kill or freeze wherever they touch the world.

Every task is a greenlet. It runs until it touches the world (a port call), which is where another task
may run, where time may pass, and where its process may be killed or frozen. Nothing else interleaves, so
one seed is one story.
"""

from __future__ import annotations

import functools
import heapq
import random
from collections.abc import Callable
from types import TracebackType
from typing import Any

import greenlet

Dice = random.Random
ONLY_TASKS = "only a task can wait"
_push, _pop = heapq.heappush, heapq.heappop


class Killed(BaseException):
    """Raised in the tasks of a dead process: not an Exception, so that nothing handles it."""


class Task:
    """One greenlet, waiting for at most one thing at a time."""

    __slots__ = ("ground", "name", "process", "waiting")

    def __init__(self, process: Process, name: str, run: Callable[[], None]) -> None:
        self.process = process
        self.name = name
        self.waiting = 0  # number of the wait that may end now; an older number is a stale wake-up
        # Every task comes back to the scheduler, whoever spawned it.
        self.ground = greenlet.greenlet(lambda _started: process.shelter(self, run), process.clock.hub)


class Process:
    """What lives and dies together: a controller, an agent, a trainer. Knows its own wrong wall clock."""

    def __init__(self, clock: SimClock, name: str, skew_s: float) -> None:
        self.clock = clock
        self.name = name
        self.skew_s = skew_s
        self.alive = True
        self.frozen = False
        self.death = ""
        self.crash: BaseException | None = None
        self.born_s = clock.now_s
        self.on_death: list[Callable[[], None]] = []
        self.crossings = 0  # how often it touched the world
        self.hunted = False  # since something was planned for one of these touches
        self._trips: dict[int, Callable[[], None]] = {}
        self._ambushes: dict[str, tuple[int, Callable[[], None]]] = {}  # by deed: how many to let pass
        self._tasks: list[Task] = []
        self._parked: list[tuple[Task, int, Any]] = []

    def spawn(self, name: str, run: Callable[[], None]) -> None:
        if not self.alive:
            raise Killed
        task = Task(self, name, run)
        self._tasks.append(task)
        self.clock.wake(task, task.waiting, True)

    def shelter(self, task: Task, run: Callable[[], None]) -> None:
        """The body of every task: an exception that leaves it ends the process."""
        with _Shelter(self, task):
            if self.alive:
                run()

    def ended(self, task: Task, error: BaseException | None) -> None:
        if task in self._tasks:
            self._tasks.remove(task)
        if error is not None and not isinstance(error, Killed):
            self.crash = error
            self.kill(f"{type(error).__name__} in {task.name}: {error}")

    def kill(self, why: str) -> None:
        """SIGKILL: no task of it touches the world again; what it holds in memory is lost."""
        if not self.alive:
            return
        self.alive, self.death = False, why
        self.clock.at(self.clock.now_s, self._bury)
        for run in self.on_death:
            run()

    def vanish(self) -> None:
        """Without a trace, when the world ends."""
        self.alive = False
        self.on_death.clear()
        self._bury()

    def _bury(self) -> None:
        for task in list(self._tasks):
            self.clock.bury(task)
        self._tasks.clear()
        self._parked.clear()

    def freeze(self) -> None:
        """SIGSTOP: its clocks go on, its tasks do not, and what would have woken them waits."""
        self.frozen = self.alive

    def thaw(self) -> None:
        self.frozen = False
        parked, self._parked = self._parked, []
        for task, number, value in parked:
            self.clock.wake(task, number, value)

    def park(self, task: Task, number: int, value: Any) -> None:
        self._parked.append((task, number, value))

    def trip(self, crossings: int, action: Callable[[], None]) -> None:
        """Runs `action` (a kill, a freeze) when it touches the world that many times more."""
        self._trips[self.crossings + crossings] = action
        self.hunted = True

    def ambush(self, deed: str, passing: int, action: Callable[[], None]) -> None:
        """As `trip`, in the middle of a certain deed: before or after the world has noticed it."""
        self._ambushes[deed] = (passing, action)
        self.hunted = True

    def caught(self, deed: str) -> Callable[[], None] | None:
        if deed in self._ambushes:
            passing, action = self._ambushes.pop(deed)
            if passing == 0:
                return action
            self._ambushes[deed] = (passing - 1, action)
        return self._trips.pop(self.crossings, None)


class _Shelter:
    """Nothing leaves a task: what its process did not handle is the death of that process only."""

    def __init__(self, process: Process, task: Task) -> None:
        self._process = process
        self._task = task

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        self._process.ended(self._task, error)
        return True


class SimClock:
    """The scheduler: a heap of what happens when, the task that runs now, and chance by name."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.hub = greenlet.getcurrent()
        self.now_s = 0.0
        self._heap: list[tuple[float, float, int, Callable[[], None]]] = []
        self._count = 0
        self._draw = self.stream("order").random
        self._task: Task | None = None
        self._processes: list[Process] = []

    def stream(self, name: str) -> Dice:
        """Chance of its own for each concern: a new fault kind does not change the others' draws."""
        return Dice(f"{self.seed}/{name}")

    def process(self, name: str, skew_s: float = 0.0) -> Process:
        process = Process(self, name, skew_s)
        self._processes.append(process)
        return process

    def close(self) -> None:
        """The end of the world: every task lets go of its stack, and nothing more happens."""
        for process in self._processes:
            process.vanish()
        self._processes.clear()
        self._heap.clear()

    def current(self) -> Process | None:
        return self._task.process if self._task else None

    def task(self) -> Task:
        assert self._task is not None, ONLY_TASKS
        return self._task

    # what happens when

    def at(self, when_s: float, run: Callable[[], None]) -> None:
        """Runs at that time, outside every task. The order of equal times is drawn from the seed."""
        self._count += 1
        now_s = self.now_s
        _push(self._heap, (when_s if when_s > now_s else now_s, self._draw(), self._count, run))

    def after(self, seconds: float, run: Callable[[], None]) -> None:
        self.at(self.now_s + seconds, run)

    def run(self, until_s: float) -> None:
        """Lets the world go on until then; an idle world jumps from event to event."""
        assert self._task is None, "a task waits; it does not run the world"
        heap, pop = self._heap, _pop
        while heap and heap[0][0] <= until_s:
            self.now_s, _, _, run = pop(heap)
            run()
        self.now_s = max(self.now_s, until_s)

    # what tasks do

    def wake(self, task: Task, number: int, value: Any) -> None:
        self.at(self.now_s, functools.partial(self._resume, task, number, value))

    def _resume(self, task: Task, number: int, value: Any) -> None:
        if task.waiting != number:  # most of those that end a wait by time
            return
        process = task.process
        if not process.alive or task.ground.dead:
            return
        if process.frozen:
            process.park(task, number, value)
            return
        task.waiting += 1
        self._task = task
        try:
            task.ground.switch(value)
        finally:
            self._task = None

    def bury(self, task: Task) -> None:
        """Lets go of a dead task's stack; what its `finally` wants of the world is refused."""
        self._task = task
        try:
            if task.ground:  # started, and not ended
                task.ground.throw(Killed)
        finally:
            self._task = None

    def wait(self, until_s: float | None) -> Any:
        """Gives way until `wake` or until then (False). Wakes carry `task.waiting + 1` from before."""
        task = self._task
        assert task is not None, ONLY_TASKS
        task.waiting += 1
        if until_s is not None:
            self.at(until_s, functools.partial(self._resume, task, task.waiting, False))
        value = self.hub.switch()
        if not task.process.alive:
            raise Killed
        return value

    def sleep(self, seconds: float, deed: str = "") -> None:
        """In a task: gives way. Outside of all (a test's own code): lets the world run that long."""
        if self._task is None:
            self.run(self.now_s + max(seconds, 0.0))
            return
        self.step(deed)  # which may take its time: a freeze
        self.wait(self.now_s + seconds if seconds > 0.0 else self.now_s)

    def step(self, deed: str = "") -> None:
        """The process touches the world: here a planned kill or freeze takes place."""
        task = self._task
        if task is None:
            return
        process = task.process
        if not process.alive:
            raise Killed
        process.crossings += 1
        if process.hunted:
            self._strike(process, task, deed)

    def _strike(self, process: Process, task: Task, deed: str) -> None:
        action = process.caught(deed)
        if action is None:
            return
        action()
        if not process.alive:
            raise Killed
        if process.frozen:
            process.park(task, task.waiting + 1, True)
            self.wait(None)
