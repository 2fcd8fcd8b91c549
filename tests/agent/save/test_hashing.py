"""What a manifest says of a file: its hash and those of its chunks, from one pass in whatever order."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

import pytest
import xxhash

from outlast.ports import UploadCancelled
from outlast.protocol.objects import FileEntry
from outlast.save.hashing import READ_BYTES, Hashing, unchanged

CHUNK = 1000


def digits(body: bytes) -> str:
    return xxhash.xxh3_128(body).hexdigest()


def whenever(length: int) -> None:
    """Nothing holds a read back."""


@dataclass
class Counted:
    """Bytes in memory, and how many of them were read."""

    body: bytes
    read_bytes: int = field(default=0)

    @property
    def size(self) -> int:
        return len(self.body)

    def read(self, offset: int, length: int) -> bytes:
        self.read_bytes += length
        return self.body[offset : offset + length]


def entry(body: bytes, reads: list[tuple[int, int]] | None = None) -> FileEntry:
    hashing = Hashing(Counted(body), whenever, CHUNK)
    for offset, length in reads or []:
        hashing.read(offset, length)
    return hashing.entry("p", "k")


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7])
def test_a_file_longer_than_a_chunk_has_the_hash_of_each(size: int) -> None:
    body = os.urandom(size)
    chunks = tuple(digits(body[start : start + CHUNK]) for start in range(0, size, CHUNK))
    expected = FileEntry("p", "k", size, f"xxh3-128:{digits(body)}")
    assert entry(body) == (expected if size <= CHUNK else replace(expected, chunk_bytes=CHUNK, chunks=chunks))


@pytest.mark.parametrize(
    "reads",
    [
        [(0, 5000)],
        [(0, 300), (300, 900), (1200, 3800)],
        [(2000, 1000), (0, 1000), (0, 1000)],
        [(0, 1500), (1000, 1500), (1000, 4000)],
    ],
)
def test_parts_again_ahead_and_over_each_other_change_nothing(reads: list[tuple[int, int]]) -> None:
    body = os.urandom(5000)
    assert entry(body, reads) == entry(body)


def test_the_very_same_bytes_are_unchanged_and_others_are_not() -> None:
    body = os.urandom(5 * CHUNK + 3)
    before = entry(body)
    assert unchanged(Counted(body), before, whenever)
    assert not unchanged(Counted(body + b"x"), before, whenever)
    for at in (0, CHUNK, 5 * CHUNK + 2):
        other = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        assert not unchanged(Counted(other), before, whenever)
    small = entry(b"small")
    assert unchanged(Counted(b"small"), small, whenever)
    assert not unchanged(Counted(b"smalk"), small, whenever)
    assert unchanged(Counted(b""), entry(b""), whenever)


def test_of_a_changed_file_only_the_first_chunk_that_differs_is_read() -> None:
    body = os.urandom(5 * CHUNK)
    source = Counted(b"x" * (5 * CHUNK))
    assert not unchanged(source, entry(body), whenever)
    assert source.read_bytes == CHUNK


def test_an_algorithm_of_a_later_version_is_no_match() -> None:
    assert not unchanged(Counted(b"a"), replace(entry(b"a"), hash=f"xxh5:{digits(b'a')}"), whenever)


def test_a_look_at_an_unchanged_file_can_be_called_off() -> None:
    body = bytes(2 * READ_BYTES)

    def stop(length: int) -> None:
        raise UploadCancelled("not wanted")

    with pytest.raises(UploadCancelled):
        unchanged(Counted(body), entry(body), stop)
