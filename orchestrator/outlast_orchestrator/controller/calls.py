"""Runs slow calls beside the tick, in bounded pools of threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.core.view import Call, CallDone, CallKind

THREADS_MAX = 16  # of each pool; they are made when they are needed
# Each job has its own, again and again. They have a pool for themselves, so that no launch and no listing
# ever waits behind a thousand routine looks.
_LOOKS = frozenset({CallKind.POINTER, CallKind.STATUS, CallKind.OFFERS})


class ThreadCalls:
    """Implements `core.ports.Calls`.

    A call stays in flight until its outcome was collected, so that no tick can find it neither running
    nor done, and make it a second time.
    """

    def __init__(self, clock: Clock, wake: Callable[[], None], threads: int = THREADS_MAX) -> None:
        self._clock = clock
        self._wake = wake
        self._looks = ThreadPoolExecutor(threads, thread_name_prefix="look")
        self._acts = ThreadPoolExecutor(threads, thread_name_prefix="call")
        self._lock = threading.Lock()
        self._in_flight: set[Call] = set()
        self._done: list[CallDone] = []

    def start(self, call: Call, run: Callable[[], CallDone]) -> bool:
        with self._lock:
            if call in self._in_flight:
                return False
            self._in_flight.add(call)
        future = (self._looks if call.kind in _LOOKS else self._acts).submit(run)
        future.add_done_callback(lambda ended: self._finish(call, ended))
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
            pool.shutdown(wait=False, cancel_futures=True)

    def _finish(self, call: Call, ended: Future[CallDone]) -> None:
        if ended.cancelled():
            return
        error = ended.exception()
        now_s = self._clock.monotonic_s()
        if error is None:
            done = ended.result()
        else:
            done = CallDone(call, problem=f"{type(error).__name__}: {error}", ended_s=now_s)
        with self._lock:
            self._done.append(done)
        if done.news:
            self._wake()
