"""Brings the head of a job into a folder, verified byte by byte, or the nearest checkpoint before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from outlast.bucket.manifest import BadManifest, Hasher, read_manifest
from outlast.ports import Bucket, Denied, Missing, Runtime, Unsure
from outlast.protocol.objects import FileEntry, Manifest, ManifestRef, Pointer, generation_of
from outlast.sink import FolderSink, Sink

__all__ = ["FolderSink", "NothingRestorable", "Restored", "Sink", "fall_back", "prefetch", "restore_chain"]

LANES = 4
RANGE_BYTES = 64 << 20  # one request; a broken one is repeated from where it broke
FETCH_TRIES_MAX = 6
BACKOFF_FIRST_S = 0.5
WRONG_BYTES_TRIES_MAX = 2  # the second fetch tells bytes that broke on the way from bytes that are broken

Tell = Callable[[str, str, dict[str, str]], None]


class NothingRestorable(Exception):
    """The pointer names checkpoints and none of them verifies: nobody may start at step 0 instead."""


class _Unusable(Exception):
    """This checkpoint does not verify; the message says which file and why."""


@dataclass(frozen=True)
class Restored:
    """The checkpoint that is in place now."""

    ref: ManifestRef
    manifest: Manifest
    fell_back: bool
    why: str
    fetched_bytes: int


def restore_chain(
    runtime: Runtime, bucket: Bucket, pointer: Pointer, sink: Sink, fact: Tell, *, lanes: int = LANES
) -> Restored | None:
    """Restores what `pointer`, read after the claim, says; None when nothing was ever saved.

    Raises NothingRestorable; Unsure and Denied when the bucket can't be read (what has arrived stays,
    so trying again goes on from there); OSError when the disk refuses.
    """
    if pointer.head is None:
        if pointer.kept:
            raise NothingRestorable("the pointer keeps checkpoints but names no head: not starting at step 0")
        return None
    tried: dict[str, str] = {}
    ref: ManifestRef | None = pointer.head
    while ref is not None:
        manifest: Manifest | None = None
        try:
            manifest = read_manifest(bucket, ref, pointer.owner, pointer.job)
            fetched = _fetch_all(runtime, bucket, manifest, sink, lanes)
            sink.place(manifest)
        except (BadManifest, _Unusable) as error:
            tried[ref.key] = str(error)
            before = fall_back(pointer, ref, manifest, tried)
            goes_on = f"using {before.name}" if before else "nothing is left to try"
            fact("restore.fell_back", f"checkpoint {ref.name} does not verify: {error}; {goes_on}", {})
            ref = before
            continue
        why = "; ".join(tried.values()) if tried else "the head"
        return Restored(ref, manifest, bool(tried), why, fetched)
    reasons = "; ".join(tried.values())
    raise NothingRestorable(f"none of {len(tried)} checkpoints verifies ({reasons}): not starting at step 0")


def prefetch(
    runtime: Runtime, bucket: Bucket, pointer: Pointer | None, sink: Sink, *, lanes: int = LANES
) -> str:
    """Fetches the head's files ahead of the claim, as far as that goes; says in words how it went.

    It decides nothing: what the claim writes is what is restored, and then every byte is checked anew.
    """
    if pointer is None or pointer.head is None:
        return "nothing to fetch yet"
    try:
        manifest = read_manifest(bucket, pointer.head, pointer.owner, pointer.job)
        fetched = _fetch_all(runtime, bucket, manifest, sink, lanes)
    except (BadManifest, _Unusable, Unsure, Denied, OSError) as error:
        return f"prefetch of {pointer.head.name} failed: {error}"
    return f"prefetched {pointer.head.name}: {fetched} bytes"


def fall_back(
    pointer: Pointer, ref: ManifestRef, manifest: Manifest | None, tried: dict[str, str]
) -> ManifestRef | None:
    """What to try after `ref`: its parent, if that is kept and was not tried.

    A parent that is not kept ends it: what else is kept may lie on a branch that a person abandoned.
    When the manifest is unreadable nobody knows the parent; then it is the newest kept one that is older
    in (generation, place in `kept`), never by step.
    """
    kept = [other for other in pointer.kept if other.key not in tried]
    if manifest is not None:
        return manifest.parent if manifest.parent in kept else None
    order = {other.key: place for place, other in enumerate(pointer.kept)}
    limit = (_generation(ref), order[ref.key])
    older = [other for other in kept if (_generation(other), order[other.key]) < limit]
    return max(older, key=lambda other: (_generation(other), order[other.key]), default=None)


def _generation(ref: ManifestRef) -> int:
    return generation_of(ref.name)


def _fetch_all(runtime: Runtime, bucket: Bucket, manifest: Manifest, sink: Sink, lanes: int) -> int:
    """Brings every file of a checkpoint into the sink; returns the bytes that were really fetched.

    The first trouble stops the other lanes at their next file. Raises _Unusable, Unsure, Denied, OSError.
    """
    waiting = sorted(
        manifest.files, key=lambda entry: -entry.size
    )  # the largest ends last, so it starts first
    results = runtime.mailbox()
    lane = _Lane(runtime, bucket, sink, manifest.name)
    lanes = min(lanes, len(waiting))
    todo = runtime.mailbox()
    for entry in waiting:
        todo.put(entry)
    for number in range(lanes):
        todo.put(_NO_MORE)
        runtime.spawn(f"restore {number}", lambda: _work(lane, todo.get, results.put))
    fetched = 0
    trouble: Exception | None = None
    ended = 0
    while ended < lanes:
        result = results.get(None)
        if result is _LANE_ENDED:
            ended += 1
        elif isinstance(result, int):
            fetched += result
        elif isinstance(result, Exception):
            trouble = trouble or result
            lane.stopped = True
    if trouble is not None:
        raise trouble
    return fetched


_NO_MORE = object()
_LANE_ENDED = object()


def _work(lane: _Lane, take: Callable[[float | None], object], tell: Callable[[object], None]) -> None:
    while True:
        entry = take(None)
        if not isinstance(entry, FileEntry):
            break
        if lane.stopped:
            continue
        try:
            tell(lane.bring(entry))
        except (_Unusable, Unsure, Denied, OSError) as error:
            tell(error)
    tell(_LANE_ENDED)


class _Lane:
    """Fetches single files of one checkpoint. `stopped` only ever goes from no to yes."""

    def __init__(self, runtime: Runtime, bucket: Bucket, sink: Sink, name: str) -> None:
        self.stopped = False
        self._runtime = runtime
        self._bucket = bucket
        self._sink = sink
        self._name = name

    def bring(self, entry: FileEntry) -> int:
        """The bytes fetched: 0 when the file is there already, whole."""
        if self._is_there(entry):
            return 0
        problem = ""
        for _ in range(WRONG_BYTES_TRIES_MAX):
            problem = self._fetch(entry)
            if not problem:
                return entry.size
        raise _Unusable(f"file {entry.path!r} ({entry.key}): {problem}")

    def _is_there(self, entry: FileEntry) -> bool:
        present = self._sink.read(self._name, entry.path)
        if present is None:
            return False
        hasher, size = Hasher(), 0
        for chunk in present:
            hasher.update(chunk)
            size += len(chunk)
        return size == entry.size and hasher.text() == entry.hash

    def _fetch(self, entry: FileEntry) -> str:
        """Writes the file into the sink while hashing it; what is wrong with it, or ""."""
        hasher = Hasher()
        try:
            size = self._sink.write(self._name, entry.path, self._hashed(entry, hasher))
        except Missing:
            return "the object is missing"
        if size != entry.size:
            return f"it has {size} bytes instead of {entry.size}"
        if hasher.text() != entry.hash:
            return f"its hash is {hasher.text()}, the manifest says {entry.hash}"
        return ""

    def _hashed(self, entry: FileEntry, hasher: Hasher) -> Iterator[bytes]:
        """The object's bytes; a broken stream goes on where it broke."""
        offset, failures = 0, 0
        while True:
            start = offset
            length = min(RANGE_BYTES, entry.size - offset)
            try:
                for chunk in self._bucket.stream(entry.key, offset, length):
                    hasher.update(chunk)
                    offset += len(chunk)
                    yield chunk
            except Unsure:
                failures = failures + 1 if offset == start else 0
                if failures >= FETCH_TRIES_MAX:
                    raise
                self._runtime.sleep(BACKOFF_FIRST_S * 2**failures)
                continue
            if offset >= entry.size or offset - start < length:
                return
