"""A runtime whose time only moves when somebody sleeps, and whose tasks run at once, one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any


class StillMailbox:
    def __init__(self) -> None:
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)

    def get(self, timeout_s: float | None) -> Any | None:
        if not self._items:
            assert timeout_s is not None, "would wait for ever: nobody else can run"
            return None
        return self._items.popleft()


class StillRuntime:
    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.slept_s: list[float] = []
        self._tokens = 0

    def monotonic_s(self) -> float:
        return self.now_s

    def boot_s(self) -> float:
        return self.now_s

    def wall_s(self) -> float:
        return 1_700_000_000.0 + self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds

    def mailbox(self) -> StillMailbox:
        return StillMailbox()

    def spawn(self, name: str, run: Callable[[], None], *, gives_way: bool = False) -> None:
        run()

    def token(self, nbytes: int) -> str:
        self._tokens += 1
        return f"{self._tokens:0{2 * nbytes}x}"

    def uniform(self) -> float:
        return 0.5
