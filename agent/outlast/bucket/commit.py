"""Makes the manifest of a checkpoint just before the head moves to it, or finds one made before."""

from __future__ import annotations

from dataclasses import dataclass

from outlast.bucket.manifest import (
    BadManifest,
    ManifestCache,
    build_manifest,
    manifest_bytes,
    manifest_ref,
    parse_manifest,
    unfit,
)
from outlast.bucket.manifest import hash_bytes as hash_of
from outlast.bucket.outcomes import Identity, Rebase
from outlast.bucket.prune import unlisted_of
from outlast.ports import Bucket, Exists, Missing, Runtime, Unsure
from outlast.protocol.codec import FormatError, load
from outlast.protocol.objects import (
    Manifest,
    ManifestRef,
    Pointer,
    data_prefix,
    manifest_key,
    siblings_prefix,
)
from outlast.protocol.values import replace
from outlast.save.types import Draft

CREATE_TRIES_MAX = 5
CREATE_PAUSE_S = 0.2


@dataclass(frozen=True)
class Origin:
    """What every manifest of an attempt says alike."""

    world_size: int = 1
    revision: int = 1
    code: str = ""


class Commit:
    """Turns drafts into manifests. Used by the pointer's thread, with no pointer write in flight."""

    def __init__(
        self, runtime: Runtime, bucket: Bucket, me: Identity, cache: ManifestCache, origin: Origin
    ) -> None:
        self._runtime = runtime
        self._bucket = bucket
        self._me = me
        self._cache = cache
        self._origin = origin
        self._last: Manifest | None = None  # repeated as it is when its creation was in doubt

    def make(self, draft: Draft, pointer: Pointer, at: str) -> ManifestRef | Rebase:
        """Creates the draft's manifest as a child of the head. Raises Unsure, Denied: call it again."""
        head = pointer.head
        world_size = self._origin.world_size
        reason = unfit(draft.name, draft.files, self._head(head), self._present(draft.name, world_size))
        if reason:
            return Rebase(head, reason)
        if self._last is None or (self._last.name, self._last.parent) != (draft.name, head):
            try:
                self._last = build_manifest(
                    self._me,
                    draft,
                    head,
                    at=at,
                    world_size=self._origin.world_size,
                    revision=self._origin.revision,
                    code=self._origin.code,
                )
            except BadManifest as error:
                return Rebase(head, str(error))
        return self._create(self._last)

    def find_made(self, pointer: Pointer) -> ManifestRef | None:
        """A manifest of this attempt that is a child of the head, but was never listed."""
        found: list[Manifest] = []
        for name in unlisted_of(self._bucket, pointer):
            manifest = self._existing(name)
            if manifest is None or manifest.parent != pointer.head or not self._is_mine(manifest):
                continue
            before, world_size = self._head(pointer.head), manifest.world_size
            if not unfit(name, manifest.files, before, self._present(name, world_size)):
                found.append(manifest)
        if not found:
            return None
        # Children of one head, made by one attempt: the one with the most steps was made last.
        newest = max(found, key=lambda manifest: manifest.step)
        return self._remember(newest)

    def _create(self, manifest: Manifest) -> ManifestRef | Rebase:
        key, why = manifest_key(manifest.name), ""
        for tried in range(CREATE_TRIES_MAX):
            if tried:
                self._runtime.sleep(CREATE_PAUSE_S * 2**tried)
            try:
                self._bucket.create(key, manifest_bytes(manifest))
            except Exists:
                return self._take_over(manifest)
            except Unsure as error:
                why = str(error)
                continue
            return self._remember(manifest)
        raise Unsure(f"{key}: not known whether it was created: {why}")

    def _take_over(self, manifest: Manifest) -> ManifestRef | Rebase:
        """The name is taken: by an earlier try of the same commit, or the draft needs another name."""
        existing = self._existing(manifest.name)
        if existing is not None and replace(existing, at=manifest.at) == manifest:
            return self._remember(existing)
        return Rebase(manifest.parent, f"another manifest has the name {manifest.name}")

    def _existing(self, name: str) -> Manifest | None:
        """The manifest under a name that no pointer vouches for; None when it is no good."""
        try:
            body = self._bucket.get(manifest_key(name)).body
            step = load(Manifest, body).step
            ref = ManifestRef(manifest_key(name), hash_of(body), step)
            manifest = parse_manifest(body, ref, self._me.owner, self._me.job)
        except (Missing, FormatError, BadManifest):
            return None
        return manifest if manifest_bytes(manifest) == body else None

    def _is_mine(self, manifest: Manifest) -> bool:
        return (manifest.generation, manifest.attempt) == (self._me.generation, self._me.attempt)

    def _remember(self, manifest: Manifest) -> ManifestRef:
        ref = manifest_ref(manifest)
        self._cache.add(ref, manifest)
        return ref

    def _head(self, head: ManifestRef | None) -> Manifest | None:
        if head is None:
            return None
        try:
            return self._cache.read(head)
        except BadManifest:
            return None  # nothing of it can be named again

    def _present(self, name: str, world_size: int) -> dict[str, int]:
        prefix = siblings_prefix(name) if world_size > 1 else data_prefix(name)
        return {info.key: info.size for info in self._bucket.list(prefix)}
