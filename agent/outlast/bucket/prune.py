"""Deletes what no kept checkpoint needs, and reads people's wishes for pins."""

from __future__ import annotations

from collections.abc import Iterable

from outlast.bucket.manifest import BadManifest, ManifestCache
from outlast.ports import Bucket
from outlast.protocol.objects import (
    ManifestRef,
    Pointer,
    data_prefix,
    generation_of,
    manifest_key,
    pin_key,
    siblings_prefix,
)

HOLDER_SIGN = "+"  # `pins/<name>` is a person's wish, `pins/<name>+<holder>` one of the program's own


def read_wishes(bucket: Bucket) -> frozenset[str]:
    """The names of checkpoints that somebody wants to keep. Raises Unsure, Denied."""
    keys = (info.key.removeprefix("pins/") for info in bucket.list("pins/"))
    return frozenset(key.partition(HOLDER_SIGN)[0] for key in keys)


def hold(bucket: Bucket, name: str, holder: str) -> None:
    """Has the program's `holder` hold just this checkpoint, "" for none; people's wishes are not touched.

    The new one is put before the old ones go. Raises Unsure, Denied: call it again.
    """
    ending = HOLDER_SIGN + holder
    wanted = pin_key(name) + ending if name else ""
    if wanted:
        bucket.put(wanted, b"")
    for info in list(bucket.list("pins/")):
        if info.key.endswith(ending) and info.key != wanted:
            bucket.delete(info.key)


def read_parents(
    cache: ManifestCache, head: ManifestRef | None, kept: Iterable[ManifestRef]
) -> dict[str, str | None]:
    """The parents along the head's chain, as far as it lies in `kept`. Raises BadManifest, Unsure, Denied."""
    by_key = {ref.key: ref for ref in kept}
    parents: dict[str, str | None] = {}
    ref = head
    while ref is not None and ref.name not in parents:
        parent = cache.read(ref).parent
        parents[ref.name] = parent.name if parent else None
        ref = by_key.get(parent.key) if parent else None
    return parents


def named_objects(cache: ManifestCache, kept: Iterable[ManifestRef]) -> frozenset[str]:
    """All data objects that kept checkpoints need. Raises BadManifest when that can't be known."""
    return frozenset(entry.key for ref in kept for entry in cache.read(ref).files)


def delete_checkpoint(bucket: Bucket, cache: ManifestCache, left: ManifestRef, named: frozenset[str]) -> int:
    """Deletes its manifest first, then its data that nobody else names; returns the number of objects.

    In this order a deletion that is cut off leaves data without a manifest, which is nothing, and never
    a manifest without its data. Safe to repeat. Raises Unsure, Denied.
    """
    prefixes = {data_prefix(left.name)}
    try:
        manifest = cache.read(left)
        keys = {entry.key for entry in manifest.files}
        if manifest.world_size > 1:
            prefixes |= {_folder_of(key) for key in keys if key.startswith(siblings_prefix(left.name))}
    except BadManifest:
        keys = set()  # what it named elsewhere is found by the next generation's collection
    bucket.delete(left.key)
    keys |= {info.key for prefix in sorted(prefixes) for info in bucket.list(prefix)}
    doomed = sorted(keys - named)
    for key in doomed:
        bucket.delete(key)
    return 1 + len(doomed)


def _folder_of(key: str) -> str:
    """Where a node of a gang put its part."""
    return "/".join(key.split("/", 2)[:2]) + "/"


def collect(bucket: Bucket, pointer: Pointer, cache: ManifestCache) -> int:
    """Deletes what generations below the pointer's left unlisted; returns the number of objects.

    Only for the generation that has claimed. A lower generation can list nothing any more, and a higher
    one only names what is kept now, so this stays harmless however late it runs.
    Raises BadManifest (nothing more was deleted), Unsure, Denied.
    """
    kept = {ref.name for ref in pointer.kept}
    named = named_objects(cache, pointer.kept)
    deleted = 0
    for folder in ("manifests/", "checkpoints/"):
        for info in list(bucket.list(folder)):
            name = info.key.removeprefix(folder).split("/", 1)[0].removesuffix(".json")
            if name in kept or info.key in named or not _is_older(name, pointer.generation):
                continue
            bucket.delete(info.key)
            deleted += 1
    return deleted


def _is_older(name: str, generation: int) -> bool:
    try:
        return generation_of(name) < generation
    except ValueError:
        return False  # not one of ours: never touched


def unlisted_of(bucket: Bucket, pointer: Pointer) -> list[str]:
    """Names of manifests that the pointer's own generation made but never listed. Raises Unsure, Denied."""
    kept = {ref.key for ref in pointer.kept}
    names = (info.key.removeprefix("manifests/").removesuffix(".json") for info in bucket.list("manifests/"))
    return [name for name in names if manifest_key(name) not in kept and _is_of(name, pointer.generation)]


def _is_of(name: str, generation: int) -> bool:
    try:
        return generation_of(name) == generation
    except ValueError:
        return False
