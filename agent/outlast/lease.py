"""The bucket as the agent's tasks see it: every write that succeeds renews the lease."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from outlast.news import Wrote
from outlast.ports import Blob, Bucket, ObjectInfo, Runtime, Source
from outlast.tasks.desk import Post


class LeasedBucket:
    """Passes everything on. A write counts from the moment when it was *sent*: until then we lived."""

    def __init__(self, bucket: Bucket, runtime: Runtime, post: Post) -> None:
        self._bucket = bucket
        self._runtime = runtime
        self._post = post

    def get(self, key: str) -> Blob:
        return self._bucket.get(key)

    def create(self, key: str, body: bytes) -> str:
        sent_s = self._runtime.boot_s()
        version = self._bucket.create(key, body)
        self._post(Wrote(sent_s))
        return version

    def replace(self, key: str, body: bytes, version: str) -> str:
        sent_s = self._runtime.boot_s()
        written = self._bucket.replace(key, body, version)
        self._post(Wrote(sent_s))
        return written

    def put(self, key: str, body: bytes) -> None:
        sent_s = self._runtime.boot_s()
        self._bucket.put(key, body)
        self._post(Wrote(sent_s))

    def upload(self, key: str, source: Source, wrote: Callable[[int], None]) -> None:
        sent_s = self._runtime.boot_s()
        self._bucket.upload(key, source, wrote)
        self._post(Wrote(sent_s))

    def stream(self, key: str, offset: int, length: int) -> Iterator[bytes | memoryview]:
        return self._bucket.stream(key, offset, length)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._bucket.list(prefix)

    def delete(self, key: str) -> None:
        self._bucket.delete(key)
