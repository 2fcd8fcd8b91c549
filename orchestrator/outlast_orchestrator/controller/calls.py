"""Runs slow calls beside the tick, in bounded pools of threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.core.view import Call, CallDone, CallKind

Run = Callable[[], CallDone]

THREADS_MAX = 16  # of each pool; they are made when they are needed
# Each job has its own, again and again. They have a pool for themselves, so that no launch and no listing
# ever waits behind a thousand routine looks.
_LOOKS = frozenset({CallKind.POINTER, CallKind.STATUS, CallKind.OFFERS})


class _Pool:
    """Runs what is put, in this order, a few at a time. A thread that is done takes the next one itself: to
    hand over a burst costs a tick as much as there are threads, not as there are calls."""

    def __init__(self, threads: int, name: str, carry_out: Callable[[Call, Run], None]) -> None:
        self._threads = threads
        self._carry_out = carry_out
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Call, Run]] = deque()
        self._working = 0

    def put(self, call: Call, run: Run) -> None:
        with self._lock:
            self._waiting.append((call, run))
            if self._working == self._threads:
                return
            self._working += 1
        self._executor.submit(self._work)

    def close(self) -> None:
        with self._lock:
            self._waiting.clear()
        self._executor.shutdown(wait=False)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._working -= 1
                    return
                call, run = self._waiting.popleft()
            self._carry_out(call, run)


class ThreadCalls:
    """Implements `core.ports.Calls`.

    A call stays in flight until its outcome was collected, so that no tick can find it neither running
    nor done, and make it a second time.
    """

    def __init__(self, clock: Clock, wake: Callable[[], None], threads: int = THREADS_MAX) -> None:
        self._clock = clock
        self._wake = wake
        self._looks = _Pool(threads, "look", self._carry_out)
        self._acts = _Pool(threads, "call", self._carry_out)
        self._lock = threading.Lock()
        self._in_flight: set[Call] = set()
        self._done: list[CallDone] = []

    def start(self, call: Call, run: Run) -> bool:
        with self._lock:
            if call in self._in_flight:
                return False
            self._in_flight.add(call)
        (self._looks if call.kind in _LOOKS else self._acts).put(call, run)
        return True

    def in_flight(self) -> frozenset[Call]:
        with self._lock:
            return frozenset(self._in_flight)

    def collect(self) -> list[CallDone]:
        with self._lock:
            done, self._done = self._done, []
            self._in_flight.difference_update(one.call for one in done)
            return done

    def close(self) -> None:
        """Waits for no call: what is under way ends with the process, and is settled by the next one."""
        for pool in (self._looks, self._acts):
            pool.close()

    def _carry_out(self, call: Call, run: Run) -> None:
        """Whatever goes wrong is the call's outcome: its thread goes on to the next."""
        try:
            done = run()
        except Exception as error:  # noqa: BLE001
            problem = f"{type(error).__name__}: {error}"
            done = CallDone(call, problem=problem, ended_s=self._clock.monotonic_s())
        with self._lock:
            self._done.append(done)
        if done.news:
            self._wake()
