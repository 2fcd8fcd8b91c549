"""What the nodes of a gang tell each other through the bucket: where it starts, and parts of checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, replace

from outlast.bucket.outcomes import Identity
from outlast.ports import Bucket, Exists, Missing
from outlast.protocol.codec import FormatError, dump, load
from outlast.protocol.objects import (
    FORMAT,
    FileEntry,
    GangStart,
    Part,
    data_prefix,
    gang_key,
    part_key,
    siblings_prefix,
)
from outlast.save.types import Draft


def write_start(bucket: Bucket, start: GangStart) -> bool:
    """False: an earlier try has written another one, and the others go by that. Raises Unsure, Denied."""
    try:
        bucket.create(gang_key(start.generation), dump(start))
    except Exists:
        return read_start(bucket, start.generation) == start
    return True


def read_start(bucket: Bucket, generation: int) -> GangStart | None:
    """None: not written yet, or not one of ours. Raises Unsure, Denied."""
    try:
        return load(GangStart, bucket.get(gang_key(generation)).body)
    except (Missing, FormatError):
        return None


def put_part(bucket: Bucket, part: Part) -> None:
    """All its data is durable. A part that is there already is from an earlier try. Raises Unsure, Denied."""
    try:
        bucket.create(part_key(part.name, part.rank), dump(part))
    except Exists:
        return


def part_of(me: Identity, rank: int, draft: Draft) -> Part:
    return Part(
        FORMAT, me.owner, me.job, me.generation, me.attempt, rank, draft.step, draft.name, draft.files
    )


def skip_of(me: Identity, rank: int, step: int, name: str) -> Part:
    return Part(FORMAT, me.owner, me.job, me.generation, me.attempt, rank, step, name, skipped=True)


@dataclass(frozen=True)
class Gathered:
    """The draft with the files of all nodes in it, if none is missing."""

    draft: Draft
    missing: tuple[int, ...] = ()  # ranks whose part is not there yet
    skipped: tuple[int, ...] = ()  # ranks that will never have one


def gather(bucket: Bucket, me: Identity, draft: Draft, world_size: int) -> Gathered:
    """Looks for the other nodes' parts of this step. The same path of several nodes is the lowest rank's.

    Only parts whose every object lies in the bucket count. Raises Unsure, Denied.
    """
    prefix = siblings_prefix(draft.name)
    present = {info.key: info.size for info in bucket.list(prefix)}
    parts: dict[int, Part] = {}
    for key in sorted(present):
        part = _read_part(bucket, me, draft.step, key, present)
        if part is not None and (part.rank not in parts or _is_more(part, parts[part.rank])):
            parts[part.rank] = part
    ranks = range(1, world_size)
    missing = tuple(rank for rank in ranks if rank not in parts)
    skipped = tuple(rank for rank in ranks if rank in parts and parts[rank].skipped)
    if missing or skipped:
        return Gathered(draft, missing, skipped)
    files: dict[str, FileEntry] = {}
    for entries in (draft.files, *(parts[rank].files for rank in ranks)):
        for entry in entries:
            files.setdefault(entry.path, entry)
    return Gathered(replace(draft, files=tuple(files.values())))


def _is_more(part: Part, other: Part) -> bool:
    """Of two from one node: a save that was found before its last file was written is brought twice."""
    return (not part.skipped, len(part.files)) > (not other.skipped, len(other.files))


def _read_part(bucket: Bucket, me: Identity, step: int, key: str, present: dict[str, int]) -> Part | None:
    name = key.removeprefix("checkpoints/").partition("/")[0]
    if not key.startswith(f"{data_prefix(name)}outlast-part-r"):
        return None
    try:
        part = load(Part, bucket.get(key).body)
    except (Missing, FormatError):
        return None
    mine = (part.owner, part.job, part.generation, part.attempt) == (
        me.owner, me.job, me.generation, me.attempt
    )  # fmt: skip
    if not mine or part.step != step or part.name != name or key != part_key(name, part.rank):
        return None
    own = data_prefix(name)
    whole = all(f.key.startswith(own) and present.get(f.key) == f.size for f in part.files)
    return part if part.skipped or whole else None
