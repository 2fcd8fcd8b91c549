"""Chooses which checkpoints leave `kept`. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from outlast.protocol.objects import ManifestRef

KEEP_MIN = 2  # the head and its parent: with fewer, one flipped bit would cost the job


def victims(
    kept: tuple[ManifestRef, ...],
    parents: Mapping[str, str | None],
    head: ManifestRef | None,
    pinned: tuple[str, ...],
    keep: int,
) -> tuple[ManifestRef, ...]:
    """Who leaves `kept` so that `keep` unpinned checkpoints stay: never the head, never a pinned one.

    First goes what is not on the head's chain of parents, then the chain's far end; within each, what
    joined first. Pinned ones do not count. When the chain cannot be followed (`parents` lacks a kept
    name) nobody leaves: what looks like an abandoned branch may be all that is left to restore from.
    """
    if head is None:
        return ()
    names = {ref.name for ref in kept}
    chain: list[str] = []
    name: str | None = head.name
    while name is not None and name in names and name not in chain:
        chain.append(name)
        if name not in parents:
            return ()
        name = parents[name]
    free = [ref for ref in kept if ref.name not in pinned or ref == head]
    excess = len(free) - max(keep, KEEP_MIN)
    off = [ref for ref in free if ref.name not in chain]
    far = sorted((ref for ref in free if ref.name in chain[1:]), key=lambda ref: -chain.index(ref.name))
    return tuple((off + far)[: max(excess, 0)])
