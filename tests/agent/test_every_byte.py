"""Whatever is damaged in a bucket, and wherever: the very bytes of a checkpoint are restored, or none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import xxhash
from tests.agent.bucket.make import JOB, OWNER, Attempt
from tests.fakes.bucket import MemoryBucket
from tests.fakes.still import StillRuntime

from outlast.bucket.manifest import hash_bytes, manifest_bytes, manifest_ref, read_manifest
from outlast.bucket.pointer import BadPointer, parse_pointer
from outlast.protocol.codec import dump
from outlast.protocol.objects import (
    POINTER_KEY,
    FileEntry,
    Manifest,
    ManifestRef,
    Pointer,
    checkpoint_name,
    data_prefix,
)
from outlast.restore import NothingRestorable, restore_chain

CHUNK = 64
STEPS = (10, 20, 30)


class MemorySink:
    """`outlast.sink.Sink` in memory."""

    def __init__(self) -> None:
        self.arrived: dict[str, bytes] = {}
        self.placed: dict[str, bytes] = {}

    def open(self, manifest: Manifest, entry: FileEntry) -> bool:
        return entry.key in self.arrived

    def read(self, entry: FileEntry, offset: int, length: int) -> Iterator[bytes]:
        yield self.arrived[entry.key][offset : offset + length]

    def write(self, entry: FileEntry, offset: int, chunks: Iterator[bytes | memoryview]) -> int:
        body = b"".join(chunks)
        self.arrived[entry.key] = self.arrived.get(entry.key, b"")[:offset].ljust(offset, b"\0") + body
        return len(body)

    def place(self, manifest: Manifest) -> None:
        self.placed = {entry.path: self.arrived.get(entry.key, b"") for entry in manifest.files}

    def settle(self, manifest: Manifest) -> None:
        return


def content(step: int) -> dict[str, bytes]:
    return {"model": b"model %d " % step * 12, "optimizer": b"optimizer %d" % step, "empty": b""}


class Store:
    """A bucket with three checkpoints, the model of each in chunks."""

    def __init__(self) -> None:
        self.bucket = MemoryBucket(chunk_bytes=1 << 20)
        attempt = Attempt(self.bucket)
        attempt.claim()
        for step in STEPS:
            model = content(step)["model"]
            key = f"{data_prefix(checkpoint_name(step, 1, 'aa'))}model"
            self.bucket.put(key, model)
            chunks = (model[at : at + CHUNK] for at in range(0, len(model), CHUNK))
            digits = tuple(xxhash.xxh3_128(chunk).hexdigest() for chunk in chunks)
            entry = FileEntry("model", key, len(model), hash_bytes(model), CHUNK, digits)
            rest = {path: body for path, body in content(step).items() if path != "model"}
            self.head = attempt.commit(step, files=rest, again=(entry,))

    def restored(self) -> int | None:
        """The step whose very bytes were restored; None: nothing was, and it was said."""
        sink = MemorySink()
        try:
            pointer = parse_pointer(self.bucket.objects[POINTER_KEY][0], OWNER, JOB)
            done = restore_chain(StillRuntime(), self.bucket, pointer, sink, lambda *fact: None)
        except (BadPointer, NothingRestorable):
            assert sink.placed == {}
            return None
        assert done is not None, "a bucket with checkpoints was taken for an empty one"
        (step,) = [step for step in STEPS if content(step) == sink.placed]
        assert step == done.manifest.step
        return step


KEYS = ["model", "optimizer", "manifest", POINTER_KEY]


def key_of(store: Store, what: str) -> str:
    if what == POINTER_KEY:
        return POINTER_KEY
    return store.head.key if what == "manifest" else data_prefix(store.head.name) + what


@pytest.mark.parametrize("what", KEYS)
def test_any_byte_flipped(what: str) -> None:
    store = Store()
    key = key_of(store, what)
    body, version = store.bucket.objects[key]
    assert store.restored() == STEPS[-1]
    for at in range(len(body)):
        flipped = body[:at] + bytes([body[at] ^ 1 << at % 8]) + body[at + 1 :]
        store.bucket.objects[key] = (flipped, version)
        step = store.restored()
        # A pointer says more than what to resume from, and has no hash: a letter of its `why` harms nobody.
        assert step in ((None, *STEPS) if what == POINTER_KEY else (STEPS[-2],)), f"byte {at} of {what}"


@pytest.mark.parametrize("what", KEYS)
def test_cut_short_anywhere(what: str) -> None:
    store = Store()
    key = key_of(store, what)
    body, version = store.bucket.objects[key]
    for length in range(0, len(body), 3):
        store.bucket.objects[key] = (body[:length], version)
        assert store.restored() == (None if what == POINTER_KEY else STEPS[-2]), f"{length} bytes of {what}"


@pytest.mark.parametrize("what", KEYS[:-1])
def test_an_object_that_is_missing(what: str) -> None:
    store = Store()
    del store.bucket.objects[key_of(store, what)]
    assert store.restored() == STEPS[-2]


def _head_becomes(store: Store, **changes: object) -> None:
    """A pointer and a manifest that fit each other, as a later version might write them."""
    pointer = parse_pointer(store.bucket.objects[POINTER_KEY][0], OWNER, JOB)
    assert pointer.head is not None
    manifest = replace(read_manifest(store.bucket, pointer.head, OWNER, JOB), **changes)  # type: ignore[arg-type]
    store.bucket.put(pointer.head.key, manifest_bytes(manifest))
    _point(store, pointer, manifest_ref(manifest))


def _point(store: Store, pointer: Pointer, head: ManifestRef) -> None:
    store.bucket.put(POINTER_KEY, dump(replace(pointer, head=head, kept=(*pointer.kept[:-1], head))))


def test_a_manifest_of_a_later_format_gives_way_to_its_parent() -> None:
    store = Store()
    _head_becomes(store, format=2)
    assert store.restored() == STEPS[-2]


def test_a_hash_of_a_later_algorithm_gives_way_to_the_parent() -> None:
    store = Store()
    pointer = parse_pointer(store.bucket.objects[POINTER_KEY][0], OWNER, JOB)
    assert pointer.head is not None
    files = read_manifest(store.bucket, pointer.head, OWNER, JOB).files
    _head_becomes(store, files=(replace(files[0], hash="xxh5:" + "0" * 32), *files[1:]))
    assert store.restored() == STEPS[-2]
    store = Store()
    _point(store, pointer, replace(pointer.head, hash="xxh5:" + "0" * 32))
    assert store.restored() == STEPS[-2]


@pytest.mark.parametrize("chunks", [(), ("0" * 32,), ("0" * 31, "0" * 32)])
def test_chunks_that_are_not_those_of_the_file(chunks: tuple[str, ...]) -> None:
    store = Store()
    pointer = parse_pointer(store.bucket.objects[POINTER_KEY][0], OWNER, JOB)
    assert pointer.head is not None
    files = read_manifest(store.bucket, pointer.head, OWNER, JOB).files
    odd = tuple(replace(entry, chunks=chunks) if entry.path == "model" else entry for entry in files)
    _head_becomes(store, files=odd)
    assert store.restored() == (STEPS[-1] if not chunks else STEPS[-2]), "without chunks the whole is hashed"


def test_a_pointer_of_a_later_format_is_told() -> None:
    store = Store()
    pointer = parse_pointer(store.bucket.objects[POINTER_KEY][0], OWNER, JOB)
    store.bucket.put(POINTER_KEY, dump(replace(pointer, format=2)))
    assert store.restored() is None
