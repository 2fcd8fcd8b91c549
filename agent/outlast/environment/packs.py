"""The format of packs: which pieces of which files go into each, and its bytes. Pure.

A pack is one zstandard frame: the length of its head in eight bytes, the head (JSON: a row for each piece),
and the bytes of the pieces in the same order. Folders and links are rows without bytes. A file that is larger
than a pack is spread over several. (A tar of the same files takes Python six times as long to unpack.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import zstandard

from outlast.bucket.environments import PACK_BYTES, BadEnvironment
from outlast.environment.listing import FILE, FOLDER, LINK, NAME, Item

LEVEL = 1
ROWS_MAX = 20_000  # in one pack: empty files fill none
HEAD_BYTES_MAX = 32 << 20
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class Piece:
    """`length` bytes at `offset` of a file; the whole of what has no bytes."""

    item: Item
    offset: int = 0
    length: int = 0


def plan(items: Iterable[Item], pack_bytes: int = PACK_BYTES) -> Iterator[list[Piece]]:
    """The same items always give the same packs, so that a second try finds those of the first."""
    pieces: list[Piece] = []
    room = pack_bytes
    for item in items:
        offset = 0
        while True:
            length = min(item.size - offset, room)
            pieces.append(Piece(item, offset, length))
            offset += length
            room -= length
            if room == 0 or len(pieces) >= ROWS_MAX:
                yield pieces
                pieces, room = [], pack_bytes
            if offset >= item.size:
                break
    if pieces:
        yield pieces


def encode(pieces: Iterable[tuple[Piece, bytes]]) -> bytes:
    rows, bodies = [], []
    for piece, body in pieces:
        item = piece.item
        rows.append(
            [item.path, item.kind, item.mode, item.mtime_ns, item.size, item.target, piece.offset, len(body)]
        )
        bodies.append(body)
    head = json.dumps(rows, separators=(",", ":")).encode()
    content = b"".join((len(head).to_bytes(_LENGTH_BYTES, "big"), head, *bodies))
    return zstandard.ZstdCompressor(level=LEVEL).compress(content)


def decode(packed: bytes) -> Iterator[tuple[Piece, memoryview]]:
    """Raises BadEnvironment for whatever `encode` does not write."""
    content = memoryview(_decompress(packed))
    end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "big")
    try:
        rows = json.loads(bytes(content[_LENGTH_BYTES:end]))
    except ValueError as error:
        raise BadEnvironment(f"the head of a pack is damaged: {error}") from error
    if not isinstance(rows, list):
        raise BadEnvironment("the head of a pack is no list")
    for row in rows:
        piece = _piece(row)
        body = content[end : end + piece.length]
        if len(body) != piece.length:
            raise BadEnvironment(f"a pack ends in the middle of {piece.item.path!r}")
        end += piece.length
        yield piece, body
    if end != len(content):
        raise BadEnvironment("a pack holds more than its head says")


def _decompress(packed: bytes) -> bytes:
    try:
        size = zstandard.frame_content_size(packed)
        if not 0 <= size <= PACK_BYTES + HEAD_BYTES_MAX:
            raise BadEnvironment(f"a pack has {size} bytes")
        return zstandard.ZstdDecompressor().decompress(packed)
    except zstandard.ZstdError as error:
        raise BadEnvironment(f"a pack can't be decompressed: {error}") from error


def _piece(row: object) -> Piece:
    """Nothing in it may lead out of the folder, where what a link names is not followed by anybody here."""
    if not isinstance(row, list) or len(row) != 8:
        raise BadEnvironment("a row of a pack is none of ours")
    path, kind, mode, mtime_ns, size, target, offset, length = row
    texts = isinstance(path, str) and isinstance(target, str) and kind in (FOLDER, FILE, LINK, NAME)
    numbers = all(type(n) is int and n >= 0 for n in (mode, mtime_ns, size, offset, length))
    if not texts or not numbers or offset + length > size:
        raise BadEnvironment("a row of a pack is none of ours")
    if not _inside(path) or (kind == NAME and not _inside(target)):
        raise BadEnvironment(f"a pack holds {path!r}, which leads out of the folder")
    return Piece(Item(path, kind, mode & 0o777, size, mtime_ns, target=target), offset, length)


def _inside(path: str) -> bool:
    return "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))
