"""Packs an environment and uploads it, a pack at a time, behind everything else that the node does."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import xxhash

from outlast.bucket.environments import (
    FORMAT,
    PACK_BYTES,
    BadEnvironment,
    Record,
    drop,
    pack_entry,
    read_record,
    write_record,
)
from outlast.cadence import retry_in_s
from outlast.clock import iso
from outlast.environment.listing import FILE, FOLDER, Item, NotPackable
from outlast.environment.packs import Piece, encode, plan
from outlast.ports import Bucket, Exists, Runtime, Unsure, UploadCancelled
from outlast.protocol.objects import FileEntry
from outlast.save.bandwidth import Bandwidth
from outlast.save.sources import SourceChanged, read_exactly

BYTES_MAX = 32 << 30  # larger ones are not kept
FILES_MAX = 1_000_000
TRIES_MAX = 8
WAIT_S = 0.5

T = TypeVar("T")


@dataclass(frozen=True)
class Body:
    """A pack, as the bucket reads it."""

    body: bytes

    @property
    def size(self) -> int:
        return len(self.body)

    def read(self, offset: int, length: int) -> memoryview:
        return memoryview(self.body)[offset : offset + length]


@dataclass(frozen=True)
class Made:
    """What the record says of it besides its packs."""

    owner: str
    digest: str
    made_for: dict[str, str]
    install_s: float


class Keeping:
    """One environment on its way to the bucket. `busy`: a checkpoint is on its way, and comes first."""

    def __init__(
        self,
        runtime: Runtime,
        bucket: Bucket,
        busy: Callable[[], bool],
        off: Callable[[], bool],
        mbps_max: float | None,
        pack_bytes: int = PACK_BYTES,
    ) -> None:
        self._runtime = runtime
        self._bucket = bucket
        self._busy = busy
        self._off = off
        self._bandwidth = None if mbps_max is None else Bandwidth(runtime, mbps_max)
        self._pack_bytes = pack_bytes

    def keep(self, made: Made, root: Path, items: list[Item], *, anew: bool) -> Record | None:
        """The record is written when all packs are durable. None: another node was faster.

        `anew`: what lies there is damaged, and is deleted first. Raises UploadCancelled, NotPackable,
        OSError; Unsure (after a few tries), Denied.
        """
        left_out: set[str] = set()
        if anew:
            self._again(lambda: drop(self._bucket, made.digest))
        packs: list[FileEntry] = []
        for pieces in plan(items, self._pack_bytes):
            self._wait()
            packed = encode(_read(root, pieces, left_out))
            packs.append(self._send(made.digest, len(packs), packed))
        kept = [item for item in items if item.kind != FOLDER and item.path not in left_out]
        record = Record(
            format=FORMAT,
            owner=made.owner,
            digest=made.digest,
            made_for=made.made_for,
            at=iso(self._runtime.wall_s()),
            files=len(kept),
            bytes=sum(item.size for item in kept),
            install_s=made.install_s,
            packs=tuple(packs),
        )
        self._wait()
        try:
            self._again(lambda: write_record(self._bucket, record))
        except Exists:
            return self._mine(record)
        return record

    def _mine(self, record: Record) -> Record | None:
        """Of a try whose reply was lost, after all. If not, the packs of both lie there."""
        try:
            found = self._again(lambda: read_record(self._bucket, record.owner, record.digest))
        except BadEnvironment:
            return None
        return record if found == record else None

    def _send(self, digest: str, number: int, packed: bytes) -> FileEntry:
        entry = pack_entry(digest, number, len(packed), xxhash.xxh3_128_hexdigest(packed))
        if self._bandwidth is not None:
            self._bandwidth.wait(len(packed), self._off)

        def send() -> None:
            try:
                self._bucket.upload(entry.key, Body(packed), lambda _bytes: None)
            except Exists:
                return  # the name is the content's: an earlier try sent it

        self._again(send)
        return entry

    def _wait(self) -> None:
        while self._busy() and not self._off():
            self._runtime.sleep(WAIT_S)
        if self._off():
            raise UploadCancelled("the environment's upload is called off")

    def _again(self, act: Callable[[], T]) -> T:
        tried = 0
        while True:
            try:
                return act()
            except Unsure:
                tried += 1
                if tried == TRIES_MAX:
                    raise
            self._runtime.sleep(retry_in_s(tried))
            self._wait()


def check_size(items: list[Item]) -> None:
    """Raises NotPackable."""
    size = sum(item.size for item in items)
    if size > BYTES_MAX or len(items) > FILES_MAX:
        raise NotPackable(f"it is larger than is kept: {size / 1e9:.1f} GB in {len(items)} files")


def _read(root: Path, pieces: list[Piece], left_out: set[str]) -> list[tuple[Piece, bytes]]:
    """Raises NotPackable when a file is not what it was when `install` ended, OSError."""
    found = [(piece, _bytes_or_none(root, piece)) for piece in pieces]
    left_out.update(piece.item.path for piece, body in found if body is None)
    return [(piece, body) for piece, body in found if body is not None]


def _bytes_or_none(root: Path, piece: Piece) -> bytes | None:
    """None: it has changed, and Python will derive it anew on the next node as well."""
    item = piece.item
    if item.kind != FILE:
        return b""
    try:
        return _bytes_of(root / item.path, piece)
    except (SourceChanged, FileNotFoundError) as error:
        if item.derived and piece.length == item.size:
            return None
        raise NotPackable(f"{item.path} changed while it was packed") from error


def _bytes_of(path: Path, piece: Piece) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        body = read_exactly(descriptor, piece.offset, piece.length, path)
        if not piece.item.same(os.fstat(descriptor)):
            raise SourceChanged(f"{path} changed")
        return body
    finally:
        os.close(descriptor)
