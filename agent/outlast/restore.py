"""Brings the head of a job into a folder, verified byte by byte, or the nearest checkpoint before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from outlast.bucket.manifest import BadManifest, read_manifest
from outlast.fetch import LANES, FetchCancelled, Unusable, fetch_all
from outlast.ports import Bucket, Denied, Runtime, Unsure
from outlast.protocol.objects import Manifest, ManifestRef, Pointer, generation_of
from outlast.sink import FolderSink, Sink

__all__ = ["FolderSink", "NothingRestorable", "Restored", "Sink", "fall_back", "prefetch", "restore_chain"]

Tell = Callable[[str, str, dict[str, str]], None]


class NothingRestorable(Exception):
    """The pointer names checkpoints and none of them verifies: nobody may start at step 0 instead."""


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
            fetched = fetch_all(runtime, bucket, manifest, sink, lanes)
            sink.place(manifest)
        except (BadManifest, Unusable) as error:
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
    runtime: Runtime,
    bucket: Bucket,
    pointer: Pointer | None,
    sink: Sink,
    *,
    lanes: int = LANES,
    cancelled: Callable[[], bool] = lambda: False,
) -> str:
    """Fetches the head's files ahead of the claim, as far as that goes; says in words how it went.

    It decides nothing: what the claim writes is what is restored, and then every byte is checked anew, and
    only what is not there yet is fetched.
    """
    if pointer is None or pointer.head is None:
        return "nothing to fetch yet"
    try:
        manifest = read_manifest(bucket, pointer.head, pointer.owner, pointer.job)
        fetched = fetch_all(runtime, bucket, manifest, sink, lanes, cancelled)
    except (BadManifest, Unusable, FetchCancelled, Unsure, Denied, OSError) as error:
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
