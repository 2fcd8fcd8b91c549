"""The four verbs of the pointer as the agent calls them, with the manifests and deletions around them."""

from __future__ import annotations

from collections.abc import Callable

from outlast.bucket.commit import Commit, Origin
from outlast.bucket.manifest import BadManifest, ManifestCache
from outlast.bucket.outcomes import Applied, ClaimVerdict, Identity, Mine, OwnVerdict, Rebase
from outlast.bucket.prune import collect, delete_checkpoint, named_objects, read_parents, read_wishes
from outlast.bucket.verbs import Advance, build_advance, build_end, build_release
from outlast.bucket.writer import PointerWriter, Sent
from outlast.ports import Bucket, BucketError, Runtime
from outlast.protocol.messages import Permission
from outlast.protocol.objects import ManifestRef, Pointer
from outlast.save.types import Draft

_ADVANCE = "advance "

Tell = Callable[[str, str, dict[str, str]], None]


class PointerOwner:
    """The one writer of an attempt. One thread calls it; its bucket is the job's prefix.

    `keep` unpinned checkpoints stay; without it nobody leaves.
    """

    def __init__(
        self,
        runtime: Runtime,
        bucket: Bucket,
        me: Identity,
        fact: Tell,
        *,
        keep: int | None = None,
        world_size: int = 1,
        revision: int = 1,
        code: str = "",
    ) -> None:
        self._bucket = bucket
        self._fact = fact
        self._keep = keep
        self._writer = PointerWriter(runtime, bucket, me, self._took_place)
        self._cache = ManifestCache(bucket, me.owner, me.job)
        self._commit = Commit(runtime, bucket, me, self._cache, Origin(world_size, revision, code))
        self._left: list[ManifestRef] = []  # left `kept` in a write that is known to be applied
        self._committed: set[str] = set()
        self._pinned: tuple[str, ...] | None = None  # as it was last told
        self._started: tuple[ManifestRef, str] | None = None

    @property
    def pointer(self) -> Pointer | None:
        """As last read or written; it may be another attempt's."""
        return self._writer.pointer

    @property
    def claimed(self) -> bool:
        return self._writer.claimed

    def look(self) -> OwnVerdict:
        """Reads the pointer: Mine, Wait (not claimed), Over, Fenced or Stop. Raises Unsure, Denied."""
        return self._writer.look()

    def claim(self, permission: Permission) -> ClaimVerdict:
        """One try. Before the next, ask the controller for the permission anew. Raises Unsure, Denied."""
        verdict = self._writer.claim(permission)
        if isinstance(verdict, Applied):
            self._pinned = verdict.pointer.pinned
        return verdict

    def commit(self, draft: Draft) -> OwnVerdict | Rebase:
        """Makes the draft's manifest and moves the head to it. Raises Unsure, Denied: call it again."""
        verdict = self._writer.settle()
        if not isinstance(verdict, Mine):
            return verdict
        if draft.name in self._committed or draft.name in {ref.name for ref in verdict.pointer.kept}:
            return Applied(verdict.pointer, f"checkpoint {draft.name} is committed")
        made = self._commit.make(draft, verdict.pointer, self._writer.at())
        return made if isinstance(made, Rebase) else self._advance(made)

    def adopt(self) -> OwnVerdict | Rebase:
        """After a restart: advances a manifest that this attempt made but never listed. Raises as commit."""
        verdict = self._writer.settle()
        if not isinstance(verdict, Mine):
            return verdict
        made = self._commit.find_made(verdict.pointer)
        return verdict if made is None else self._advance(made)

    def _advance(self, made: ManifestRef) -> OwnVerdict | Rebase:
        base = self.pointer.head if self.pointer else None

        def build(found: Pointer) -> tuple[Pointer, tuple[ManifestRef, ...]] | Rebase:
            if found.head != base:
                return Rebase(found.head, "the head moved while the manifest was made")
            return self._build_advance(found, made)

        return self._writer.change(f"{_ADVANCE}{made.name}", build)

    def prune(self) -> OwnVerdict | Rebase:
        """Lets checkpoints leave and pins join, then deletes what has left. Raises Unsure, Denied."""
        verdict = self._writer.settle()
        if not isinstance(verdict, Mine):
            return verdict
        after, _ = self._build_advance(verdict.pointer, None)
        if (after.kept, after.pinned) != (verdict.pointer.kept, verdict.pointer.pinned):
            changed = self._writer.change("retention", lambda found: self._build_advance(found, None))
            if not isinstance(changed, Applied):
                return changed
        self._delete_left()
        return verdict if self.pointer is None else Mine(self.pointer, verdict.why)

    def release(self, why: str) -> OwnVerdict | Rebase:
        """Says that nothing more comes from this attempt. The trainer must be dead. Raises Unsure, Denied."""
        return self._writer.change(
            "release", lambda found: (build_release(found, self._writer.at(), why), ())
        )

    def end(self, code: int, why: str) -> OwnVerdict | Rebase:
        """Says that the trainer ended by itself. Raises Unsure, Denied."""
        return self._writer.change(
            f"end {code}", lambda found: (build_end(found, self._writer.at(), code, why), ())
        )

    def started(self, ref: ManifestRef, why: str) -> None:
        """After a fall-back: the checkpoint that was really restored; the next advance records it."""
        self._started = (ref, why)

    def collect_garbage(self) -> int:
        """Deletes what lower generations left unlisted; returns how many objects. Raises Unsure, Denied."""
        verdict = self.look()
        if not isinstance(verdict, Mine):
            return 0
        try:
            return collect(self._bucket, verdict.pointer, self._cache)
        except BadManifest as error:
            self._fact("storage.trouble", f"not collecting garbage: {error}", {})
            return 0

    def _took_place(self, sent: Sent) -> None:
        if sent.verb.startswith(_ADVANCE):
            name = sent.verb.removeprefix(_ADVANCE)
            self._committed.add(name)
            self._fact("checkpoint.committed", f"checkpoint {name} is durable and the head", {"name": name})
        self._left += sent.leaving
        self._tell_pins(sent.pointer)

    def _tell_pins(self, pointer: Pointer) -> None:
        """Only what the pointer lists is pinned: the wish alone is not told."""
        known, now = self._pinned, pointer.pinned
        self._pinned = now
        if known is None:
            return
        for name in (name for name in now if name not in known):
            self._fact("checkpoint.pinned", f"checkpoint {name} stays", {"name": name})
        for name in (name for name in known if name not in now):
            self._fact("checkpoint.unpinned", f"checkpoint {name} goes when its turn comes", {"name": name})

    def _build_advance(
        self, found: Pointer, made: ManifestRef | None
    ) -> tuple[Pointer, tuple[ManifestRef, ...]]:
        wishes: frozenset[str] | None = None
        parents: dict[str, str | None] = {}
        try:
            wishes = read_wishes(self._bucket)
            kept = (*found.kept, made) if made else found.kept
            parents = read_parents(self._cache, made or found.head, kept)
        except BadManifest as error:
            self._fact("storage.trouble", f"nothing is pruned: {error}", {})
        except BucketError:
            wishes = None  # without all the wishes nobody may leave; the next advance looks again
        return build_advance(
            found, Advance(self._writer.at(), made, wishes, parents, self._keep, self._started)
        )

    def _delete_left(self) -> None:
        """Deletes what has left in writes that are known to be applied. Raises Unsure, Denied."""
        if not self._left or self.pointer is None:
            return
        kept = self.pointer.kept
        try:
            named = named_objects(self._cache, kept)
        except BadManifest as error:
            self._fact("storage.trouble", f"nothing is deleted: {error}", {})
            return
        while self._left:
            left = self._left[0]
            count = delete_checkpoint(self._bucket, self._cache, left, named)
            self._left.pop(0)
            self._fact("checkpoint.pruned", f"checkpoint {left.name}: {count} objects", {"name": left.name})
        self._cache.forget_all_but(kept)
