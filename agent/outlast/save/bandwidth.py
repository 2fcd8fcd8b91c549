"""Keeps uploads below a bandwidth: what was sent is paid for in time before the next part is read."""

from __future__ import annotations

from collections.abc import Callable

from outlast.ports import Runtime

BURST_S = 1.0  # time that was not used is kept for so long
LOOK_EVERY_S = 0.5  # while waiting: whether it is still wanted, and whether it still has to wait


def paid_at_s(paid_s: float, now_s: float, taken_bytes: int, bytes_per_s: float) -> float:
    """When `taken_bytes` more are paid for, after what was paid for at `paid_s`. Pure."""
    return max(paid_s, now_s - BURST_S) + taken_bytes / bytes_per_s


class Bandwidth:
    """One allowance for all tasks that send at once; they share it through a mailbox."""

    def __init__(self, runtime: Runtime, mbps_max: float) -> None:
        """`mbps_max`: megabits a second, as networks are sold."""
        self._runtime = runtime
        self._bytes_per_s = mbps_max * 1e6 / 8
        self._paid_s = runtime.mailbox()
        self._paid_s.put(runtime.monotonic_s() - BURST_S)

    def wait(self, length: int, over: Callable[[], bool]) -> None:
        """Until `length` more bytes may be sent, or until `over` says that nothing holds them back."""
        now_s = self._runtime.monotonic_s()
        before_s = self._paid_s.get(None)  # nobody else goes on before it is put back
        assert isinstance(before_s, float)
        self._paid_s.put(paid_at_s(before_s, now_s, length, self._bytes_per_s))
        while now_s < before_s and not over():
            self._runtime.sleep(min(LOOK_EVERY_S, before_s - now_s))
            now_s = self._runtime.monotonic_s()
