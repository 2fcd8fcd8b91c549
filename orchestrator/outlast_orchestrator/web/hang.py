"""Requests that wait for something to happen, and notice at once when their client has gone."""

from __future__ import annotations

import asyncio
import enum
from collections import Counter
from collections.abc import Callable

from fastapi import Request

WAIT_MAX_S = 60.0

Subscribe = Callable[[Callable[[], None]], Callable[[], None]]


class Ended(enum.Enum):
    """Why a wait is over."""

    CHANGED = enum.auto()
    TIME_OUT = enum.auto()
    CLIENT_GONE = enum.auto()
    STOPPING = enum.auto()  # we are shutting down


async def client_gone(request: Request) -> None:
    """Returns when the client's side of the connection has ended."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Hangs:
    """The waits that are open, so that a shutdown can end them, and who waits."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: set[asyncio.Event] = set()
        self._who: Counter[str] = Counter()
        self._stopping = False

    def enter(self, who: str) -> None:
        self._who[who] += 1

    def leave(self, who: str) -> bool:
        """True when nobody else of that name waits."""
        self._who[who] -= 1
        if self._who[who] > 0:
            return False
        del self._who[who]
        return True

    async def wait(self, request: Request, subscribe: Subscribe, wait_s: float) -> Ended:
        """Until `subscribe`'s callback was called (from any thread), or one of the other ends."""
        loop = self._loop = asyncio.get_running_loop()
        changed, stopped = asyncio.Event(), asyncio.Event()
        self._open.add(stopped)
        if self._stopping:
            stopped.set()

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        unsubscribe = subscribe(wake)
        tasks = {
            asyncio.ensure_future(client_gone(request)): Ended.CLIENT_GONE,
            asyncio.ensure_future(changed.wait()): Ended.CHANGED,
            asyncio.ensure_future(stopped.wait()): Ended.STOPPING,
        }
        try:
            done, _ = await asyncio.wait(
                tasks, timeout=min(max(wait_s, 0.0), WAIT_MAX_S), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            unsubscribe()
            self._open.discard(stopped)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        # Of several, the client's end counts most: nobody is left to read an answer.
        return next((end for task, end in tasks.items() if task in done), Ended.TIME_OUT)

    def stop(self) -> None:
        """Ends every wait, from any thread; later ones end at once."""
        self._stopping = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end_all)

    def _end_all(self) -> None:
        for event in tuple(self._open):
            event.set()


def never(_changed: Callable[[], None]) -> Callable[[], None]:
    """A subscription to nothing: the wait is only a pause that the client's end cuts short."""
    return lambda: None
