"""What the tests of the bucket side start from: identities, pointers, drafts with their data in place."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from tests.fakes.bucket import MemoryBucket
from tests.fakes.still import StillRuntime

from outlast.bucket.manifest import hash_bytes
from outlast.bucket.outcomes import Applied, Identity
from outlast.bucket.owner import PointerOwner
from outlast.bucket.pointer import parse_pointer
from outlast.ports import Unsure
from outlast.protocol.messages import Permission, WriterRef
from outlast.protocol.objects import (
    POINTER_KEY,
    Confidence,
    FileEntry,
    ManifestRef,
    Pointer,
    PointerState,
    checkpoint_name,
    data_prefix,
    manifest_key,
)
from outlast.save.types import Draft

OWNER, JOB = "owner-1", "job-1"


def me(generation: int = 1, writer: str = "") -> Identity:
    return Identity(OWNER, JOB, generation, writer or f"w{generation}", f"attempt-{generation}")


def ref(step: int, generation: int = 1, nonce: str = "aa") -> ManifestRef:
    return ManifestRef(manifest_key(checkpoint_name(step, generation, nonce)), f"xxh3-128:{step:032x}", step)


def pointer(
    generation: int = 1,
    *,
    writer: str = "",
    state: PointerState = PointerState.RUNNING,
    kept: tuple[ManifestRef, ...] = (),
    head: ManifestRef | None = None,
    seq: int = 7,
    pinned: tuple[str, ...] = (),
    exit_code: int | None = None,
) -> Pointer:
    return Pointer(
        format=1,
        owner=OWNER,
        job=JOB,
        generation=generation,
        writer=writer or f"w{generation}",
        instances=(),
        seq=seq,
        state=state,
        head=head or (kept[-1] if kept else None),
        kept=kept,
        at="2026-01-01T00:00:00Z",
        pinned=pinned,
        exit_code=exit_code,
    )


@dataclass
class Attempt:
    """One attempt on a bucket, with the uploader's part done by hand."""

    bucket: MemoryBucket
    generation: int = 1
    writer: str = ""
    keep: int | None = 3
    facts: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runtime = StillRuntime()
        self.owner = self.restarted()

    def restarted(self) -> PointerOwner:
        """A new process of the same writer: it knows nothing but who it is."""
        self.owner = PointerOwner(
            self.runtime,
            self.bucket,
            me(self.generation, self.writer),
            lambda kind, why, data: self.facts.append((kind, why)),
            keep=self.keep,
        )
        return self.owner

    def claim(self, *closed: WriterRef, start_from: ManifestRef | None = None) -> Pointer:
        outcome = self.owner.claim(Permission(closed=closed, start_from=start_from))
        assert isinstance(outcome, Applied), outcome
        return outcome.pointer

    def draft(
        self,
        step: int,
        files: dict[str, bytes] | None = None,
        again: tuple[FileEntry, ...] = (),
        nonce: str = "aa",
    ) -> Draft:
        """Data of its own, durable, and files that name the objects of an earlier checkpoint."""
        name = checkpoint_name(step, self.generation, nonce)
        entries = []
        for path, body in (files or {"model": b"model at step %d" % step}).items():
            key = data_prefix(name) + path
            self.bucket.objects[key] = (body, f"d-{key}")
            entries.append(FileEntry(path, key, len(body), hash_bytes(body)))
        base = self.owner.pointer.head if self.owner.pointer else None
        return Draft(name, step, "folder", Confidence.STRONG, (*entries, *again), base)

    def commit(self, step: int, **more: object) -> ManifestRef:
        outcome = self.owner.commit(self.draft(step, **more))  # type: ignore[arg-type]
        assert isinstance(outcome, Applied), outcome
        assert outcome.pointer.head is not None
        return outcome.pointer.head

    def closed(self) -> WriterRef:
        return WriterRef(self.generation, self.writer or f"w{self.generation}")


def names(refs: tuple[ManifestRef, ...]) -> list[int]:
    return [entry.step for entry in refs]


def now(bucket: MemoryBucket) -> Pointer:
    """The pointer as it lies in the bucket."""
    return parse_pointer(bucket.objects[POINTER_KEY][0], OWNER, JOB)


def leave_in_doubt(bucket: MemoryBucket, attempt: Attempt, step: int, kind: str) -> None:
    """A commit whose advance is in doubt when the call gives up."""
    draft = attempt.draft(step)
    bucket.fail(kind)
    bucket.fail("dropped", times=9)
    with pytest.raises(Unsure, match="not known whether advance"):
        attempt.owner.commit(draft)
    bucket.faults.clear()
