"""Files arrive in parts, each verified by itself; what the node has already is looked at and not fetched."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import xxhash
from tests.fakes.bucket import MemoryBucket

from outlast.bucket.manifest import hash_bytes
from outlast.clock import SystemRuntime
from outlast.fetch import FetchCancelled, Unusable, fetch_all
from outlast.protocol.objects import Confidence, FileEntry, Manifest, checkpoint_name, data_prefix
from outlast.sink import FolderSink

CHUNK = 1000
BIG = os.urandom(5 * CHUNK + 123)
FROZEN = os.urandom(3 * CHUNK)


@dataclass
class Node:
    """A bucket with checkpoints whose files are cut into chunks, and a folder that they come to."""

    folder: Path
    bucket: MemoryBucket = field(default_factory=lambda: MemoryBucket(chunk_bytes=300))

    def __post_init__(self) -> None:
        self.staging, self.target = self.folder / "staging", self.folder / "checkpoints"
        self.sink = FolderSink(self.staging, lambda manifest: self.target / f"step-{manifest.step}")

    def entry(self, name: str, path: str, body: bytes) -> FileEntry:
        key = data_prefix(name) + path
        self.bucket.put(key, body)
        digits = tuple(
            xxhash.xxh3_128(body[at : at + CHUNK]).hexdigest() for at in range(0, len(body), CHUNK)
        )
        return FileEntry(path, key, len(body), hash_bytes(body), CHUNK, digits)

    def checkpoint(self, step: int, *again: FileEntry, **files: bytes) -> Manifest:
        name = checkpoint_name(step, 1, "aa")
        entries = (*(self.entry(name, path, body) for path, body in files.items()), *again)
        return Manifest(1, "o", "j", 1, "a", name, step, "", 1, "k", Confidence.STRONG, entries)

    def fetch(self, manifest: Manifest) -> int:
        return fetch_all(SystemRuntime(), self.bucket, manifest, self.sink)

    def place(self, manifest: Manifest) -> dict[str, bytes]:
        self.sink.place(manifest)
        self.sink.settle(manifest)
        folder = self.target / f"step-{manifest.step}"
        assert list(self.staging.iterdir()) == []
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_all_parts_of_all_files_arrive(node: Node) -> None:
    manifest = node.checkpoint(10, big=BIG, frozen=FROZEN, empty=b"")
    assert node.fetch(manifest) == len(BIG) + len(FROZEN)
    assert node.place(manifest) == {"big": BIG, "frozen": FROZEN, "empty": b""}


def test_one_bad_part_spoils_the_checkpoint_and_mended_it_alone_is_fetched(node: Node) -> None:
    manifest = node.checkpoint(10, big=BIG, frozen=FROZEN)
    key = manifest.files[0].key
    node.bucket.flip_bit(key)  # the last byte: of the short last part
    with pytest.raises(Unusable, match=r"'big'.*its hash of bytes 5000 to 5123"):
        node.fetch(manifest)
    node.bucket.flip_bit(key)
    node.fetch(manifest)
    (node.staging / key).write_bytes(BIG[:2500] + b"x" + BIG[2501:])
    assert node.fetch(manifest) == CHUNK
    assert node.place(manifest)["big"] == BIG


def test_an_object_cut_short_in_a_later_part(node: Node) -> None:
    manifest = node.checkpoint(10, big=BIG)
    node.bucket.put(manifest.files[0].key, BIG[:-1])
    with pytest.raises(Unusable, match="it has 5122 bytes instead of 5123"):
        node.fetch(manifest)


def test_of_a_newer_head_only_the_difference_is_fetched(node: Node) -> None:
    """What was prefetched for the head of then serves the head of now."""
    first = node.checkpoint(10, big=BIG, frozen=FROZEN)
    node.fetch(first)
    second = node.checkpoint(20, first.files[1], big=BIG[::-1])
    assert node.fetch(second) == len(BIG)
    assert node.place(second) == {"big": BIG[::-1], "frozen": FROZEN}


def test_what_lies_where_it_goes_is_not_fetched_again(node: Node) -> None:
    """A trainer that crashed is started again on the machine that saved."""
    manifest = node.checkpoint(10, big=BIG, frozen=FROZEN)
    own = node.target / "step-10"
    own.mkdir(parents=True)
    (own / "big").write_bytes(BIG)
    (own / "frozen").write_bytes(FROZEN[:-1] + b"!")
    assert node.fetch(manifest) == CHUNK, "of the torn file only the part that differs"
    assert (own / "frozen").read_bytes() == FROZEN[:-1] + b"!", "nothing is written through the link"
    assert node.place(manifest) == {"big": BIG, "frozen": FROZEN}
    assert (own / "big").stat().st_nlink == 1


def test_killed_while_it_was_put_in_place_nothing_is_fetched_again(node: Node) -> None:
    manifest = node.checkpoint(10, big=BIG, frozen=FROZEN)
    node.fetch(manifest)
    new = node.staging / f"{manifest.name}.new"
    new.mkdir()
    os.rename(node.staging / manifest.files[0].key, new / "big")
    assert node.fetch(manifest) == 0
    assert node.place(manifest) == {"big": BIG, "frozen": FROZEN}


def test_two_paths_may_name_one_object(node: Node) -> None:
    first = node.checkpoint(10, one=BIG)
    entry = first.files[0]
    both = node.checkpoint(20, entry, FileEntry("two", entry.key, entry.size, entry.hash))
    assert node.fetch(both) == len(BIG)
    assert node.place(both) == {"one": BIG, "two": BIG}


def test_called_off_it_stops_and_what_has_arrived_stays(node: Node) -> None:
    manifest, asked = node.checkpoint(10, big=BIG), []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(FetchCancelled):
        fetch_all(SystemRuntime(), node.bucket, manifest, node.sink, 1, cancelled)
    assert node.fetch(manifest) == len(BIG) - 3 * CHUNK
