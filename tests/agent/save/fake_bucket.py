"""A bucket in memory, and a runtime with threads, for the tests of `outlast.save`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from outlast.ports import Blob, Exists, Missing, ObjectInfo, Source, Unsure


class MemoryBucket:
    """Uploads in parts, as a real client does. `fail` may raise before any part is taken."""

    def __init__(self, part_bytes: int = 1000) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: list[str] = []
        self.part_bytes = part_bytes
        self.fail: Callable[[str, int], None] = lambda key, offset: None
        self.lose_reply: set[str] = set()

    def get(self, key: str) -> Blob:
        if key not in self.objects:
            raise Missing(key)
        return Blob(self.objects[key], "1")

    def create(self, key: str, body: bytes) -> str:
        if key in self.objects:
            raise Exists(key)
        self.objects[key] = body
        return "1"

    def replace(self, key: str, body: bytes, version: str) -> str:
        self.get(key)
        self.objects[key] = body
        return version

    def put(self, key: str, body: bytes) -> None:
        self.objects[key] = body

    def upload(self, key: str, source: Source, wrote: Callable[[int], None]) -> None:
        if key in self.objects:
            raise Exists(key)
        parts = []
        for offset in range(0, source.size, self.part_bytes):
            self.fail(key, offset)
            parts.append(bytes(source.read(offset, min(self.part_bytes, source.size - offset))))
            wrote(offset + len(parts[-1]))
        self.objects[key] = b"".join(parts)
        self.uploads.append(key)
        if key in self.lose_reply:
            self.lose_reply.discard(key)
            raise Unsure(f"{key}: no answer")

    def stream(self, key: str, offset: int, length: int) -> Iterator[bytes]:
        yield self.get(key).body[offset : offset + length]

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield ObjectInfo(key, len(self.objects[key]), "1")

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)
