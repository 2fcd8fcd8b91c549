"""Compares a checkpoint in the bucket with its manifest, byte by byte, without keeping any of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from outlast.bucket.manifest import Hasher
from outlast.ports import Bucket, Missing, Unsure
from outlast.protocol.objects import FileEntry, Manifest

RANGE_BYTES = 64 << 20  # one request; a broken one is repeated from where it broke
BROKEN_MAX = 3  # requests in a row that bring nothing


@dataclass
class Examiner:
    """Examines checkpoints of one job; an object that several of them name is read once."""

    bucket: Bucket
    _known: dict[tuple[str, int, str], str] = field(default_factory=dict)

    def examine(self, manifest: Manifest) -> Iterator[int | str]:
        """Yields how many bytes were compared so far, and at the end once what is wrong, "" for nothing.

        Raises Unsure, Denied: the bucket could not be read, which is no damage.
        """
        done = 0
        for entry in manifest.files:
            mark = (entry.key, entry.size, entry.hash)
            if mark not in self._known:
                hasher, size = Hasher(), 0
                problem = ""
                try:
                    for chunk in self._chunks(entry):
                        hasher.update(chunk)
                        size += len(chunk)
                        yield done + size
                except Missing:
                    problem = "the object is missing"
                self._known[mark] = problem or _difference(entry, size, hasher.text())
            if self._known[mark]:
                yield f"file {entry.path!r} ({entry.key}): {self._known[mark]}"
                return
            done += entry.size
            yield done
        yield ""

    def _chunks(self, entry: FileEntry) -> Iterator[bytes | memoryview]:
        offset, broken = 0, 0
        while True:
            start = offset
            length = min(RANGE_BYTES, entry.size - offset)
            try:
                for chunk in self.bucket.stream(entry.key, offset, length):
                    offset += len(chunk)
                    yield chunk
            except Unsure:
                broken = broken + 1 if offset == start else 0
                if broken >= BROKEN_MAX:
                    raise
                continue
            if offset >= entry.size or offset - start < length:
                return


def _difference(entry: FileEntry, size: int, found: str) -> str:
    if size != entry.size:
        return f"it has {size} bytes instead of {entry.size}"
    if found != entry.hash:
        return f"its hash is {found}, the manifest says {entry.hash}"
    return ""
