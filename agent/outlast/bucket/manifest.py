"""Builds, hashes and reads manifests: the description of one whole checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

import xxhash

from outlast.bucket.keys import TooBig, check_key
from outlast.bucket.outcomes import Identity
from outlast.ports import Bucket, Denied, Missing
from outlast.protocol.codec import FormatError, dump, load
from outlast.protocol.limits import MANIFEST_BYTES_MAX
from outlast.protocol.objects import (
    FORMAT,
    HASH_ALGORITHM,
    FileEntry,
    Manifest,
    ManifestRef,
    data_prefix,
    manifest_key,
    siblings_prefix,
)
from outlast.save.types import Draft

_HEX_DIGITS = 32


class BadManifest(Exception):
    """A manifest that is missing, damaged or not what the pointer names: its checkpoint can't be used."""


class Hasher:
    """The streaming hash of the protocol."""

    def __init__(self) -> None:
        self._state = xxhash.xxh3_128()

    def update(self, chunk: bytes | bytearray | memoryview) -> None:
        self._state.update(chunk)

    def text(self) -> str:
        return f"{HASH_ALGORITHM}:{self._state.hexdigest()}"


def hash_bytes(data: bytes | bytearray | memoryview) -> str:
    return f"{HASH_ALGORITHM}:{xxhash.xxh3_128_hexdigest(data)}"


def build_manifest(
    me: Identity,
    draft: Draft,
    parent: ManifestRef | None,
    *,
    at: str,
    world_size: int = 1,
    revision: int = 1,
    code: str = "",
) -> Manifest:
    """The manifest of a draft whose data is durable, as a child of `parent`. Raises BadManifest."""
    manifest = Manifest(
        format=FORMAT,
        owner=me.owner,
        job=me.job,
        generation=me.generation,
        attempt=me.attempt,
        name=draft.name,
        step=draft.step,
        at=at,
        world_size=world_size,
        kind=draft.kind,
        confidence=draft.confidence,
        files=tuple(sorted(draft.files, key=lambda entry: entry.path)),
        parent=parent,
        revision=revision,
        code=code,
        final=draft.final,
        gate=draft.gate,
    )
    problem = _problem(manifest)
    if problem:
        raise BadManifest(f"checkpoint {draft.name}: {problem}")
    return manifest


def manifest_bytes(manifest: Manifest) -> bytes:
    return dump(manifest)


def manifest_ref(manifest: Manifest) -> ManifestRef:
    return ManifestRef(manifest_key(manifest.name), hash_bytes(manifest_bytes(manifest)), manifest.step)


def read_manifest(bucket: Bucket, ref: ManifestRef, owner: str, job: str) -> Manifest:
    """The manifest that `ref` names, verified. Raises BadManifest; Unsure, Denied: it could not be read."""
    try:
        body = bucket.get(ref.key).body
    except Missing as error:
        raise BadManifest(f"{ref.key} is missing") from error
    except TooBig as error:
        raise BadManifest(str(error)) from error
    return parse_manifest(body, ref, owner, job)


def parse_manifest(body: bytes, ref: ManifestRef, owner: str, job: str) -> Manifest:
    """Raises BadManifest unless `body` is the very manifest that `ref` names, of this job."""
    if len(body) > MANIFEST_BYTES_MAX:
        raise BadManifest(f"{ref.key} has {len(body)} bytes, more than any manifest")
    algorithm = ref.hash.partition(":")[0]
    if algorithm != HASH_ALGORITHM:
        raise BadManifest(f"{ref.key} is hashed with {algorithm!r}, which this version does not know")
    if hash_bytes(body) != ref.hash:
        raise BadManifest(
            f"{ref.key} is damaged: its hash is {hash_bytes(body)}, the pointer says {ref.hash}"
        )
    try:
        manifest = load(Manifest, body)
    except FormatError as error:
        raise BadManifest(f"{ref.key} is damaged: {error}") from error
    if manifest.format != FORMAT:
        raise BadManifest(f"{ref.key} has format {manifest.format}, this program knows {FORMAT}")
    if (manifest.owner, manifest.job) != (owner, job):
        raise BadManifest(f"{ref.key} belongs to job {manifest.job!r} of owner {manifest.owner!r}")
    if (manifest.name, manifest.step) != (ref.name, ref.step):
        raise BadManifest(f"{ref.key} describes {manifest.name!r}, step {manifest.step}")
    problem = _problem(manifest)
    if problem:
        raise BadManifest(f"{ref.key}: {problem}")
    return manifest


def _problem(manifest: Manifest) -> str:
    """What makes its files unusable or dangerous to write to a disk, or ""."""
    if not manifest.files:
        return "it names no file"
    seen: set[str] = set()
    for entry in manifest.files:
        problem = _entry_problem(entry)
        if problem:
            return f"file {entry.path!r}: {problem}"
        if entry.path in seen:
            return f"file {entry.path!r} is named twice"
        seen.add(entry.path)
    for path in seen:
        for parent in PurePosixPath(path).parents:
            if str(parent) in seen:
                return f"{str(parent)!r} is a file and a folder"
    return ""


def _entry_problem(entry: FileEntry) -> str:
    try:
        check_key(entry.path)
        check_key(entry.key)
    except Denied as error:
        return str(error)
    algorithm, _, digits = entry.hash.partition(":")
    if algorithm != HASH_ALGORITHM or len(digits) != _HEX_DIGITS:
        return f"its hash {entry.hash!r} is not one of {HASH_ALGORITHM}"
    if entry.size < 0:
        return f"its size is {entry.size}"
    return _chunks_problem(entry)


def _chunks_problem(entry: FileEntry) -> str:
    if not entry.chunks:
        return ""
    if entry.chunk_bytes <= 0 or -(-entry.size // entry.chunk_bytes) != len(entry.chunks):
        return f"{len(entry.chunks)} chunks of {entry.chunk_bytes} bytes are not its {entry.size}"
    if any(len(digits) != _HEX_DIGITS for digits in entry.chunks):
        return f"the hash of a chunk is not one of {HASH_ALGORITHM}"
    return ""


def unfit(name: str, files: Iterable[FileEntry], head: Manifest | None, present: Mapping[str, int]) -> str:
    """Why a checkpoint can't become a child of `head`, or "".

    `present`: the objects under the checkpoint's own prefix, with their sizes, and in a gang those of the
    other nodes for the same step. Any other object must be one that the head names: only what the head names
    is sure to stay for as long as its child.
    """
    named = {(entry.key, entry.size, entry.hash) for entry in head.files} if head is not None else set()
    for entry in files:
        sibling = entry.key.startswith(siblings_prefix(name)) and present.get(entry.key) == entry.size
        if not entry.key.startswith(data_prefix(name)):
            if (entry.key, entry.size, entry.hash) not in named and not sibling:
                return f"file {entry.path!r} names {entry.key}, which the head does not name"
        elif present.get(entry.key) != entry.size:
            found = present.get(entry.key, "nothing")
            return f"file {entry.path!r}: the bucket has {found} of {entry.size} bytes under {entry.key}"
    return ""


class ManifestCache:
    """Reads each manifest of one job once: they never change."""

    def __init__(self, bucket: Bucket, owner: str, job: str) -> None:
        self._bucket = bucket
        self._owner = owner
        self._job = job
        self._known: dict[ManifestRef, Manifest] = {}

    def read(self, ref: ManifestRef) -> Manifest:
        """Raises BadManifest, Unsure, Denied."""
        if ref not in self._known:
            self._known[ref] = read_manifest(self._bucket, ref, self._owner, self._job)
        return self._known[ref]

    def add(self, ref: ManifestRef, manifest: Manifest) -> None:
        self._known[ref] = manifest

    def forget_all_but(self, refs: Iterable[ManifestRef]) -> None:
        wanted = set(refs)
        self._known = {ref: manifest for ref, manifest in self._known.items() if ref in wanted}
