"""A bucket in memory with the faults of real ones: lost replies, late writes, spurious conflicts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from outlast.bucket.keys import check_key
from outlast.ports import Blob, Conflict, Denied, Exists, Missing, ObjectInfo, Source, Unsure


@dataclass
class Fault:
    """What happens to the next request that matches: once, then it is used up.

    `lost`: applied, but the reply is lost. `late`: the request hangs in the network; `deliver` applies
    it. `dropped`: never arrives. `conflict`: S3's 409. `denied`: refused.
    """

    verb: str
    key: str
    kind: str


@dataclass
class MemoryBucket:
    faults: list[Fault] = field(default_factory=list)
    before: Callable[[str, str], None] = lambda verb, key: None
    log: list[tuple[str, str]] = field(default_factory=list)
    chunk_bytes: int = 7  # streams come in pieces of this size

    def __post_init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self._late: list[Callable[[], object]] = []
        self._writes = 0
        self._lock = threading.RLock()

    # faults

    def fail(self, kind: str, verb: str = "replace", key: str = "latest.json", times: int = 1) -> None:
        self.faults += [Fault(verb, key, kind)] * times

    def deliver(self) -> int:
        """Late writes arrive now; returns how many were still valid."""
        arrived = 0
        late, self._late = self._late, []
        for write in late:
            try:
                write()
            except (Conflict, Exists, Missing):
                continue
            arrived += 1
        return arrived

    def flip_bit(self, key: str) -> None:
        body, version = self.objects[key]
        self.objects[key] = (body[:-1] + bytes([body[-1] ^ 1]), version)

    def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))

    def _request(self, verb: str, key: str, apply: Callable[[], str]) -> str:
        check_key(key)
        self.before(verb, key)
        with self._lock:
            self.log.append((verb, key))
            for fault in self.faults:
                if fault.verb == verb and key.startswith(fault.key):
                    self.faults.remove(fault)
                    return self._fail(fault.kind, key, apply)
            return apply()

    def _fail(self, kind: str, key: str, apply: Callable[[], str]) -> str:
        if kind == "denied":
            raise Denied(f"{key}: refused")
        if kind == "lost":
            apply()
        elif kind == "late":
            self._late.append(apply)
        raise Unsure(f"{key}: {kind}")

    # the port

    def get(self, key: str) -> Blob:
        found: list[tuple[bytes, str]] = []

        def apply() -> str:
            if key not in self.objects:
                raise Missing(f"{key}: there is no such object")
            found.append(self.objects[key])
            return ""

        self._request("get", key, apply)
        return Blob(*found[0])

    def create(self, key: str, body: bytes) -> str:
        return self._request("create", key, lambda: self._create(key, body))

    def _create(self, key: str, body: bytes) -> str:
        if key in self.objects:
            raise Exists(f"{key}: exists already")
        return self._store(key, body)

    def replace(self, key: str, body: bytes, version: str) -> str:
        def apply() -> str:
            if key not in self.objects or self.objects[key][1] != version:
                raise Conflict(f"{key}: it has changed meanwhile")
            return self._store(key, body)

        return self._request("replace", key, apply)

    def put(self, key: str, body: bytes) -> None:
        self._request("put", key, lambda: self._store(key, body))

    def upload(self, key: str, source: Source, wrote: Callable[[int], None]) -> None:
        body = bytes(source.read(0, source.size))
        self._request("upload", key, lambda: self._store(key, body))
        wrote(source.size)

    def stream(self, key: str, offset: int, length: int) -> Iterator[bytes]:
        self._request("stream", key, lambda: "")
        if key not in self.objects:
            raise Missing(f"{key}: there is no such object")
        wanted = self.objects[key][0][offset : offset + length]
        for start in range(0, len(wanted), self.chunk_bytes):
            self._request("chunk", key, lambda: "")
            yield wanted[start : start + self.chunk_bytes]

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._request("list", prefix.rstrip("/") or "all", lambda: "")
        with self._lock:
            found = [(key, *self.objects[key]) for key in self.keys(prefix)]
        for key, body, version in found:
            yield ObjectInfo(key, len(body), version)

    def delete(self, key: str) -> None:
        def apply() -> str:
            self.objects.pop(key, None)
            return ""

        self._request("delete", key, apply)

    def _store(self, key: str, body: bytes) -> str:
        with self._lock:
            self._writes += 1
            version = f"v{self._writes}"
            self.objects[key] = (bytes(body), version)
            return version
