"""The logs' task: ships what was printed, chunk by chunk. Nothing that fails here touches training."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from outlast.node_ports import LogShip
from outlast.ports import Bucket, BucketError, Exists, Runtime
from outlast.protocol.limits import LOG_CHUNK_BYTES_MAX
from outlast.protocol.objects import log_key

CHUNKS_A_ROUND = 16
_NOW = "now"  # an order: ship what there is, without waiting for the next round


@dataclass(frozen=True)
class LogTarget:
    generation: int
    rank: int


class LogsTask:
    """Chunks are created and never written over; the boot id keeps two lives of an agent apart."""

    def __init__(self, runtime: Runtime, bucket: Bucket, logs: LogShip, boot: str, every_s: float) -> None:
        self._bucket = bucket
        self._logs = logs
        self._boot = boot
        self._every_s = every_s
        self._inbox = runtime.mailbox()
        self._target: LogTarget | None = None
        self._number = 0
        self._chunk = b""  # a chunk whose write is in doubt is repeated as it was
        runtime.spawn("logs", self._run)

    def aim(self, target: LogTarget) -> None:
        self._inbox.put(target)

    def say(self, line: str) -> None:
        self._logs.say(line)

    def hurry(self) -> None:
        """The attempt is about to end, and soon after it the machine: its last lines must not wait."""
        self._inbox.put(_NOW)

    def _run(self) -> None:
        while True:
            order = self._inbox.get(None if self._target is None else self._every_s)
            for _ in range(CHUNKS_A_ROUND):
                if not self._ship():
                    break
            if isinstance(order, LogTarget) and order != self._target:
                self._target, self._number, self._chunk = order, 0, b""

    def _ship(self) -> bool:
        """True: there may be more to send at once."""
        if self._target is None:
            return False
        if not self._chunk:
            self._chunk = self._logs.peek(LOG_CHUNK_BYTES_MAX)
        if not self._chunk:
            return False
        key = log_key(self._target.generation, self._target.rank, self._boot, self._number)
        try:
            # It exists when an earlier try, whose answer was lost, was applied: nobody else has our boot id.
            with suppress(Exists):
                self._bucket.create(key, self._chunk)
        except BucketError:
            return False
        more = len(self._chunk) > LOG_CHUNK_BYTES_MAX // 2
        self._logs.shipped(len(self._chunk))
        self._number += 1
        self._chunk = b""
        return more
