"""Hashes a file while it is sent: the whole of it and each of its chunks, in one pass."""

from __future__ import annotations

from collections.abc import Callable

import xxhash

from outlast.ports import Source
from outlast.protocol.objects import CHUNK_BYTES, HASH_ALGORITHM, FileEntry

READ_BYTES = 4 << 20
PIECE_BYTES = 256 << 10  # stays in the processor's cache between the two hashes

Before = Callable[[int], None]  # called with the length of each read before it is made; may wait, may raise


class Hashing:
    """A source that hashes what passes through it in order, and reads once more what did not."""

    def __init__(self, source: Source, before_read: Before, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._source = source
        self._before_read = before_read
        self._hash = xxhash.xxh3_128()
        self._chunk = xxhash.xxh3_128()
        self._chunk_bytes = chunk_bytes
        self._chunks: list[str] = []
        self._hashed = 0

    @property
    def size(self) -> int:
        return self._source.size

    def read(self, offset: int, length: int) -> bytes | memoryview:
        self._before_read(length)
        data = self._source.read(offset, length)
        # Parts that are sent again, or ahead of others, must not be hashed twice or out of order.
        if offset <= self._hashed < offset + len(data):
            self._take(memoryview(data)[self._hashed - offset :])
        return data

    def entry(self, path: str, key: str) -> FileEntry:
        """What the manifest says of it. Raises OSError, and what `before_read` raises."""
        self._finish()
        digest = f"{HASH_ALGORITHM}:{self._hash.hexdigest()}"
        if self.size <= self._chunk_bytes:
            return FileEntry(path, key, self.size, digest)
        return FileEntry(path, key, self.size, digest, self._chunk_bytes, tuple(self._chunks))

    def _finish(self) -> None:
        while self._hashed < self.size:
            self.read(self._hashed, min(READ_BYTES, self.size - self._hashed))
        if self._hashed % self._chunk_bytes:
            self._end_chunk()

    def _take(self, data: memoryview) -> None:
        while data:
            to_end = self._chunk_bytes - self._hashed % self._chunk_bytes
            piece = data[: min(PIECE_BYTES, to_end)]
            self._hash.update(piece)
            self._chunk.update(piece)
            self._hashed += len(piece)
            data = data[len(piece) :]
            if self._hashed % self._chunk_bytes == 0:
                self._end_chunk()

    def _end_chunk(self) -> None:
        if len(self._chunks) < -(-self._hashed // self._chunk_bytes):
            self._chunks.append(self._chunk.hexdigest())
            self._chunk.reset()


def unchanged(source: Source, before: FileEntry, before_read: Before) -> bool:
    """Whether these are the very bytes of `before`; most that are not differ in their first chunk already.

    Raises OSError, and what `before_read` raises.
    """
    if source.size != before.size:
        return False
    chunk_bytes = before.chunk_bytes if before.chunks else max(source.size, 1)
    expected = before.chunks or (before.hash.partition(":")[2],)
    for number, digits in enumerate(expected):
        start = number * chunk_bytes
        hashed = xxhash.xxh3_128()
        end = min(start + chunk_bytes, source.size)
        for offset in range(start, end, READ_BYTES):
            length = min(READ_BYTES, end - offset)
            before_read(0)
            hashed.update(source.read(offset, length))
        if hashed.hexdigest() != digits:
            return False
    return before.hash.startswith(f"{HASH_ALGORITHM}:")
