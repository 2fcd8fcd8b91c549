"""Builds the pointer that each verb of its owner writes: advance, release, end. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from outlast.bucket.retention import victims
from outlast.protocol.objects import ManifestRef, Pointer, PointerState
from outlast.protocol.values import replace


@dataclass(frozen=True)
class Advance:
    """What an advance changes. `wishes` None: they could not be read, so pins stay and nothing leaves."""

    at: str
    manifest: ManifestRef | None = None
    wishes: frozenset[str] | None = None
    parents: dict[str, str | None] = field(default_factory=dict)
    keep: int | None = None  # None: nobody leaves
    started: tuple[ManifestRef, str] | None = None


def build_advance(found: Pointer, advance: Advance) -> tuple[Pointer, tuple[ManifestRef, ...]]:
    """The next pointer of a running attempt, and what leaves `kept` in it."""
    kept, head = found.kept, found.head
    if advance.manifest is not None:
        head = advance.manifest
        kept = (*(ref for ref in kept if ref != head), head)
    pinned = found.pinned
    leaving: tuple[ManifestRef, ...] = ()
    if advance.wishes is not None:
        pinned = tuple(ref.name for ref in kept if ref.name in advance.wishes)
        if advance.keep is not None:
            leaving = victims(kept, advance.parents, head, pinned, advance.keep)
    started, started_why = advance.started or (found.started_from, found.started_why)
    after = replace(
        found,
        seq=found.seq + 1,
        head=head,
        kept=tuple(ref for ref in kept if ref not in leaving),
        pinned=pinned,
        at=advance.at,
        why=f"checkpoint {head.name}" if advance.manifest and head else "retention and pins",
        started_from=started,
        started_why=started_why,
    )
    return after, leaving


def build_release(found: Pointer, at: str, why: str) -> Pointer:
    return replace(found, seq=found.seq + 1, state=PointerState.RELEASED, at=at, why=why)


def build_end(found: Pointer, at: str, code: int, why: str) -> Pointer:
    return replace(found, seq=found.seq + 1, state=PointerState.ENDED, at=at, exit_code=code, why=why)
