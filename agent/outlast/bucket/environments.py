"""Environments that a job keeps in its bucket: packs named by their content, and a record written last.

It is a cache and nothing else: whatever is missing here, or wrong, costs one more `install` on one node.
"""

from __future__ import annotations

from dataclasses import dataclass

from outlast.bucket.keys import check_key
from outlast.ports import Bucket, Denied, Missing
from outlast.protocol.codec import FormatError, dump, load
from outlast.protocol.objects import HASH_ALGORITHM, FileEntry

FORMAT = 1
FOLDER = "env/"
KEPT = 2  # of one job: its nodes may be of two kinds in turn
PACK_BYTES = 32 << 20  # of files in one pack, before compression


class BadEnvironment(Exception):
    """What is kept can't be used; the message says why."""


@dataclass(frozen=True)
class Record:
    """One kept environment: created after all its packs are durable, never changed."""

    format: int
    owner: str
    digest: str  # of all that it was made from and for
    made_for: dict[str, str]  # the same as words, for the node that does not fit
    at: str  # ISO 8601
    files: int  # and links
    bytes: int  # of its files
    install_s: float  # what it saves
    packs: tuple[FileEntry, ...]

    @property
    def packed_bytes(self) -> int:
        return sum(pack.size for pack in self.packs)


def record_key(digest: str) -> str:
    return f"{FOLDER}{digest}.json"


def packs_prefix(digest: str) -> str:
    return f"{FOLDER}{digest}/"


def pack_entry(digest: str, number: int, size: int, hex_digits: str) -> FileEntry:
    key = f"{packs_prefix(digest)}{hex_digits}"
    return FileEntry(str(number), key, size, f"{HASH_ALGORITHM}:{hex_digits}")


def read_record(bucket: Bucket, owner: str, digest: str) -> Record | None:
    """Raises BadEnvironment, Unsure, Denied."""
    key = record_key(digest)
    try:
        body = bucket.get(key).body
    except Missing:
        return None
    try:
        record = load(Record, body)
    except FormatError as error:
        raise BadEnvironment(f"{key} is damaged: {error}") from error
    problem = _problem(record, owner, digest)
    if problem:
        raise BadEnvironment(f"{key}: {problem}")
    return record


def _problem(record: Record, owner: str, digest: str) -> str:
    if record.format != FORMAT:
        return f"format {record.format} is not {FORMAT}"
    if (record.owner, record.digest) != (owner, digest):
        return "it is another environment's"
    for pack in record.packs:
        try:
            check_key(pack.key)
        except Denied as error:
            return str(error)
        algorithm, _, digits = pack.hash.partition(":")
        named = pack.key == f"{packs_prefix(digest)}{digits}"
        if algorithm != HASH_ALGORITHM or not named or pack.chunks or not 0 < pack.size <= 2 * PACK_BYTES:
            return f"its pack {pack.path} is none of ours"
    return ""


def write_record(bucket: Bucket, record: Record) -> None:
    """All its packs must be durable by then. Raises Exists (another node was faster), Unsure, Denied."""
    bucket.create(record_key(record.digest), dump(record))


def others(bucket: Bucket, owner: str, digest: str) -> list[Record]:
    """What else the job keeps, the newest first; what can't be read is left out. Raises Unsure, Denied."""
    found = []
    for other in _digests(bucket):
        if other != digest:
            try:
                record = read_record(bucket, owner, other)
            except BadEnvironment:
                continue
            found += [record] if record is not None else []
    return sorted(found, key=lambda record: record.at, reverse=True)


def _digests(bucket: Bucket) -> list[str]:
    keys = [info.key.removeprefix(FOLDER) for info in bucket.list(FOLDER)]
    return [key.removesuffix(".json") for key in keys if key.endswith(".json") and "/" not in key]


def prune(bucket: Bucket, record: Record) -> int:
    """After `record` was written: older environments, and packs of it that lost a race.

    A node that restores one of them meanwhile finds it missing, and installs. Returns the number of objects.
    Raises Unsure, Denied.
    """
    deleted = 0
    for other in others(bucket, record.owner, record.digest)[KEPT - 1 :]:
        deleted += drop(bucket, other.digest)
    named = {pack.key for pack in record.packs}
    for info in list(bucket.list(packs_prefix(record.digest))):
        if info.key not in named:
            bucket.delete(info.key)
            deleted += 1
    return deleted


def drop(bucket: Bucket, digest: str) -> int:
    """The record first: never a record without its packs. Returns the number of objects.

    Raises Unsure, Denied.
    """
    bucket.delete(record_key(digest))
    packs = [info.key for info in bucket.list(packs_prefix(digest))]
    for key in packs:
        bucket.delete(key)
    return 1 + len(packs)


def drop_all(bucket: Bucket) -> int:
    """Of a job that is done. Returns the number of objects. Raises Unsure, Denied."""
    records = [record_key(digest) for digest in _digests(bucket)]
    for key in records:
        bucket.delete(key)
    packs = [info.key for info in bucket.list(FOLDER)]
    for key in packs:
        bucket.delete(key)
    return len(records) + len(packs)
