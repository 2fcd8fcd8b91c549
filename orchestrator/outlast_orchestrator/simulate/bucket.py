"""A bucket in virtual time: strongly consistent, and honest about everything but what became of a request.

A request can be swallowed on its way there, its reply on the way back, it can be refused (503), or arrive
long after its sender gave up or died. A condition is judged when the request arrives. Nothing else is
faulty: no real store forgets or reorders what it has confirmed.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from outlast.bucket.keys import check_key
from outlast.ports import Blob, Conflict, Exists, Missing, ObjectInfo, Source, Unsure
from outlast_orchestrator.simulate.clock import SimClock
from outlast_orchestrator.simulate.history import Deleted, History, Wrote
from outlast_orchestrator.simulate.network import BUCKET, Network

T = TypeVar("T")
TIMEOUT_S = 20.0  # what a client waits for an answer
CHUNK_BYTES = 1024
CHANGES = ("create", "replace", "put", "upload", "delete")


@dataclass(frozen=True)
class BucketTrouble:
    """How often a request fares badly, and how."""

    refused: float = 0.0  # 503
    request_lost: float = 0.0
    reply_lost: float = 0.0
    late: float = 0.0
    late_s_max: float = 900.0


class BucketServer:
    """The objects, under keys from the root, and the weather."""

    def __init__(self, clock: SimClock, history: History, latency_s: float = 0.05) -> None:
        self.clock = clock
        self.history = history
        self.latency_s = latency_s
        self.bytes_per_s = 1000.0  # simulated checkpoints are small: so is the bandwidth
        self.calm = BucketTrouble()
        self.dice = clock.stream("bucket")
        self._objects: dict[str, Blob] = {}
        self._versions = 0
        self._lock = threading.RLock()  # the contract suite races it with real threads
        self._trouble: tuple[float, BucketTrouble] = (0.0, BucketTrouble())

    def worsen(self, seconds: float, trouble: BucketTrouble) -> None:
        self._trouble = (self.clock.now_s + seconds, trouble)

    def weather(self) -> BucketTrouble:
        until_s, trouble = self._trouble
        return trouble if self.clock.now_s < until_s else self.calm

    # what really is there

    def peek(self, key: str) -> bytes | None:
        blob = self._objects.get(key)
        return blob.body if blob else None

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self._objects if key.startswith(prefix))

    # what requests do when they arrive

    def get(self, key: str) -> Blob:
        if key not in self._objects:
            raise Missing(f"{key}: there is no such object")
        return self._objects[key]

    def write(self, by: str, key: str, body: bytes) -> str:
        with self._lock:
            before = self._objects.get(key)
            self._versions += 1
            blob = Blob(bytes(body), f"v{self._versions}")
            self._objects[key] = blob
        self.history.record(self.clock.now_s, Wrote(by, key, blob.body, before.body if before else None))
        return blob.version

    def create(self, by: str, key: str, body: bytes) -> str:
        with self._lock:
            if key in self._objects:
                raise Exists(f"{key}: exists already")
            return self.write(by, key, body)

    def upload(self, by: str, key: str, body: bytes) -> None:
        """Of the same content: an earlier try got through. Of another: big uploads have no condition."""
        found = self._objects.get(key)
        if found is None or found.body != body:
            self.write(by, key, body)

    def replace(self, by: str, key: str, body: bytes, version: str) -> str:
        with self._lock:
            found = self._objects.get(key)
            if found is None or found.version != version:
                raise Conflict(f"{key}: is not at the version that was read")
            return self.write(by, key, body)

    def delete(self, by: str, key: str) -> None:
        if self._objects.pop(key, None) is not None:
            self.history.record(self.clock.now_s, Deleted(by, key))

    def infos(self, prefix: str) -> list[ObjectInfo]:
        found = self._objects
        return [ObjectInfo(key, len(found[key].body), found[key].version) for key in self.keys(prefix)]


class SimBucket:
    """The simulation's `outlast.ports.Bucket`: one process's view of one prefix."""

    def __init__(
        self,
        server: BucketServer,
        network: Network,
        place: str,
        by: str,
        prefix: str = "",
        wrote: Callable[[float], None] | None = None,
    ) -> None:
        self._server = server
        self._clock: SimClock = server.clock
        self._network = network
        self._place = place
        self._by = by
        self._prefix = prefix
        self._wrote = wrote  # told of every write that succeeded, with the time when it was sent

    def get(self, key: str) -> Blob:
        check_key(key)
        return self._ask(lambda: self._server.get(self._prefix + key), "get")

    def create(self, key: str, body: bytes) -> str:
        check_key(key)
        return self._change(lambda: self._server.create(self._by, self._prefix + key, body), "create")

    def replace(self, key: str, body: bytes, version: str) -> str:
        check_key(key)
        work = functools.partial(self._server.replace, self._by, self._prefix + key, body, version)
        return self._change(work, "replace")

    def put(self, key: str, body: bytes) -> None:
        check_key(key)
        self._change(lambda: self._server.write(self._by, self._prefix + key, body), "put")

    def delete(self, key: str) -> None:
        check_key(key)
        self._change(lambda: self._server.delete(self._by, self._prefix + key), "delete")

    def upload(self, key: str, source: Source, wrote: Callable[[int], None]) -> None:
        check_key(key)
        sent_s, body = self._clock.now_s, bytearray()
        while len(body) < source.size:
            length = min(CHUNK_BYTES, source.size - len(body))
            body += source.read(len(body), length)
            self._clock.sleep(length / self._server.bytes_per_s)
            self._must_reach()
            wrote(len(body))
        work = functools.partial(self._server.upload, self._by, self._prefix + key, bytes(body))
        self._change(work, "upload", sent_s)

    def stream(self, key: str, offset: int, length: int) -> Iterator[bytes]:
        check_key(key)
        body = self._ask(lambda: self._server.get(self._prefix + key), "get").body[offset : offset + length]
        for start in range(0, len(body), CHUNK_BYTES):
            chunk = body[start : start + CHUNK_BYTES]
            self._clock.sleep(len(chunk) / self._server.bytes_per_s)
            self._must_reach()
            yield chunk

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        cut = len(self._prefix)
        for info in self._ask(lambda: self._server.infos(self._prefix + prefix), "list"):
            yield ObjectInfo(info.key[cut:], info.size, info.version)

    # how a request fares

    def _change(self, work: Callable[[], T], deed: str, sent_s: float | None = None) -> T:
        sent_s = self._clock.now_s if sent_s is None else sent_s
        value = self._ask(work, deed)
        if self._wrote is not None:
            self._wrote(sent_s)
        return value

    def _ask(self, work: Callable[[], T], deed: str) -> T:
        self._clock.step(deed)
        self._must_reach()
        weather, dice = self._server.weather(), self._server.dice
        latency_s = self._server.latency_s * (0.5 + dice.random())
        luck = dice.random()
        if luck < weather.refused:
            self._clock.sleep(latency_s)
            raise Unsure("the bucket answered 503")
        luck -= weather.refused
        if luck < weather.request_lost:
            self._give_up()
        luck -= weather.request_lost
        if luck < weather.late:
            if deed in CHANGES:
                self._clock.after(TIMEOUT_S + dice.uniform(0.0, weather.late_s_max), _quietly(work))
            self._give_up()
        luck -= weather.late
        if luck < weather.reply_lost:
            _quietly(work)()
            self._give_up()
        return self._answered(work, deed, latency_s, there_first=dice.random() < 0.5)

    def _answered(self, work: Callable[[], T], deed: str, latency_s: float, *, there_first: bool) -> T:
        """Whoever is killed while it waits may have left its mark already, or not."""
        if not there_first:
            self._clock.sleep(latency_s)
            self._must_reach()
            value = work()
            self._clock.step(deed)
            return value
        try:
            value = work()
        except (Missing, Exists, Conflict):
            self._clock.sleep(latency_s)
            raise
        self._clock.sleep(latency_s, deed)
        self._must_reach()
        return value

    def _must_reach(self) -> None:
        if not self._network.open(self._place, BUCKET):
            self._give_up()

    def _give_up(self) -> None:
        self._clock.sleep(TIMEOUT_S)
        raise Unsure("no answer from the bucket")


def _quietly(work: Callable[[], object]) -> Callable[[], None]:
    """The request takes effect (or its condition fails) and nobody hears of it."""

    def arrive() -> None:
        try:
            work()
        except (Missing, Exists, Conflict):
            return

    return arrive
