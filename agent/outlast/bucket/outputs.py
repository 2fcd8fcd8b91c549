"""The job's outputs in the bucket: objects named by their content, and one index for each generation.

Only the index of an attempt is ever written over, and only by that attempt; the highest generation's
index counts. So an attempt that was frozen for an hour can spoil nothing when it wakes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from outlast.ports import Bucket, Missing
from outlast.protocol.codec import FormatError, dump, load

OBJECTS = "outputs/.objects/"
INDEX = "outputs/index-g"
FORMAT = 1


class BadIndex(Exception):
    """The index can't be read; the message names its key."""


@dataclass(frozen=True)
class OutputEntry:
    """One file that the job leaves. `path` is relative to the working folder."""

    path: str
    key: str
    size: int
    hash: str


@dataclass(frozen=True)
class OutputIndex:
    format: int
    generation: int
    files: tuple[OutputEntry, ...]
    complete: bool = False  # the attempt ended with 0 and all of them were verified


def object_key(digest: str) -> str:
    """`digest` is `<algorithm>:<hex>`."""
    return OBJECTS + digest.replace(":", "-")


def index_key(generation: int) -> str:
    return f"{INDEX}{generation}.json"


def newest_index(bucket: Bucket) -> OutputIndex | None:
    """What the last attempt that wrote outputs left. Raises BadIndex, Unsure, Denied."""
    generations = [
        int(number)
        for info in bucket.list(INDEX)
        if (number := info.key.removeprefix(INDEX).removesuffix(".json")).isdecimal()
    ]
    if not generations:
        return None
    key = index_key(max(generations))
    try:
        index = load(OutputIndex, bucket.get(key).body)
    except FormatError as error:
        raise BadIndex(f"{key}: {error}") from error
    if index.format != FORMAT:
        raise BadIndex(f"{key}: format {index.format} is not {FORMAT}; use a newer version")
    for entry in index.files:
        if _leads_out(entry.path):
            raise BadIndex(f"{key}: the output {entry.path!r} leads out of its folder")
    return index


def _leads_out(path: str) -> bool:
    pure = PurePosixPath(path)
    return not pure.parts or pure.is_absolute() or ".." in pure.parts or "\0" in path


def write_index(bucket: Bucket, index: OutputIndex) -> None:
    """Over the version that was just read: an earlier write of ours whose answer never came, and which
    arrives late, then fails instead of undoing this one. Raises Exists, Conflict, Unsure, Denied."""
    key, body = index_key(index.generation), dump(index)
    try:
        version = bucket.get(key).version
    except Missing:
        bucket.create(key, body)
        return
    bucket.replace(key, body, version)
