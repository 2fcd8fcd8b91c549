"""Fetches the files of one checkpoint, all at once and in parts, each verified while it arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import xxhash

from outlast.ports import Bucket, Denied, Missing, Runtime, Unsure
from outlast.protocol.objects import HASH_ALGORITHM, FileEntry, Manifest
from outlast.sink import Chunk, Sink

LANES = 8
RANGE_BYTES = 64 << 20  # one request; a broken one is repeated from where it broke
FETCH_TRIES_MAX = 6
BACKOFF_FIRST_S = 0.5
WRONG_BYTES_TRIES_MAX = 2  # the second fetch tells bytes that broke on the way from bytes that are broken

_NO_MORE = object()
_LANE_ENDED = object()


class Unusable(Exception):
    """This checkpoint does not verify; the message says which file and why."""


class FetchCancelled(Exception):
    """Nobody waits for it any more. What has arrived stays."""


@dataclass(frozen=True)
class Piece:
    """A part of a file that has a hash of its own."""

    entry: FileEntry
    offset: int
    length: int
    digits: str
    may_be_there: bool

    @property
    def whole(self) -> bool:
        return self.length == self.entry.size


class Taker(Protocol):
    """Where pieces arrive: a sink for checkpoints, or what unpacks them. Both raise OSError."""

    def read(self, entry: FileEntry, offset: int, length: int) -> Iterator[Chunk]:
        """What is there now."""

    def write(self, entry: FileEntry, offset: int, chunks: Iterator[Chunk]) -> int:
        """Replaces what is there. Returns the bytes that came."""


def pieces(entry: FileEntry, *, may_be_there: bool) -> Iterator[Piece]:
    if not entry.chunks:
        yield Piece(entry, 0, entry.size, entry.hash.partition(":")[2], may_be_there)
    for number, digits in enumerate(entry.chunks):
        offset = number * entry.chunk_bytes
        yield Piece(entry, offset, min(entry.chunk_bytes, entry.size - offset), digits, may_be_there)


def fetch_all(
    runtime: Runtime,
    bucket: Bucket,
    manifest: Manifest,
    sink: Sink,
    lanes: int = LANES,
    cancelled: Callable[[], bool] = lambda: False,
) -> int:
    """Brings every file of a checkpoint into the sink; returns the bytes that were really fetched.

    Raises as `fetch_pieces`.
    """
    objects = {entry.key: entry for entry in manifest.files}
    waiting = sorted(objects.values(), key=lambda entry: -entry.size)  # what takes longest starts first
    todo = [piece for entry in waiting for piece in pieces(entry, may_be_there=sink.open(manifest, entry))]
    return fetch_pieces(runtime, bucket, todo, sink, lanes, cancelled)


def fetch_pieces(
    runtime: Runtime,
    bucket: Bucket,
    wanted: Iterable[Piece],
    into: Taker,
    lanes: int = LANES,
    cancelled: Callable[[], bool] = lambda: False,
) -> int:
    """Brings them in that order, several at once; returns the bytes that were really fetched.

    The first trouble stops the lanes at their next piece. Raises Unusable, FetchCancelled, Unsure, Denied,
    OSError.
    """
    todo, results = runtime.mailbox(), runtime.mailbox()
    count = 0
    for piece in wanted:
        todo.put(piece)
        count += 1
    lane = _Lane(runtime, bucket, into, cancelled)
    lanes = min(lanes, count)
    for number in range(lanes):
        todo.put(_NO_MORE)
        runtime.spawn(f"restore {number}", lambda: _work(lane, todo.get, results.put))
    fetched = 0
    trouble: Exception | None = None
    ended = 0
    while ended < lanes:
        result = results.get(None)
        if result is _LANE_ENDED:
            ended += 1
        elif isinstance(result, int):
            fetched += result
        elif isinstance(result, Exception):
            trouble = trouble or result
            lane.stopped = True
    if trouble is not None:
        raise trouble
    return fetched


def _work(lane: _Lane, take: Callable[[float | None], object], tell: Callable[[object], None]) -> None:
    while True:
        piece = take(None)
        if not isinstance(piece, Piece):
            break
        if lane.stopped:
            continue
        try:
            tell(lane.bring(piece))
        except (Unusable, FetchCancelled, Unsure, Denied, OSError) as error:
            tell(error)
    tell(_LANE_ENDED)


class _Lane:
    """Fetches single pieces. `stopped` only ever goes from no to yes."""

    def __init__(self, runtime: Runtime, bucket: Bucket, sink: Taker, cancelled: Callable[[], bool]) -> None:
        self.stopped = False
        self._runtime = runtime
        self._bucket = bucket
        self._sink = sink
        self._cancelled = cancelled

    def bring(self, piece: Piece) -> int:
        """The bytes fetched: 0 when the piece is there already, whole."""
        if self._cancelled():
            raise FetchCancelled("called off")
        if piece.may_be_there and self._is_there(piece):
            return 0
        problem = ""
        for _ in range(WRONG_BYTES_TRIES_MAX):
            problem = self._fetch(piece)
            if not problem:
                return piece.length
        raise Unusable(f"file {piece.entry.path!r} ({piece.entry.key}): {problem}")

    def _is_there(self, piece: Piece) -> bool:
        hashed = xxhash.xxh3_128()
        for chunk in self._sink.read(piece.entry, piece.offset, piece.length):
            hashed.update(chunk)
        return hashed.hexdigest() == piece.digits

    def _fetch(self, piece: Piece) -> str:
        """Writes the piece into the sink while hashing it; what is wrong with it, or ""."""
        hashed = xxhash.xxh3_128()
        try:
            size = self._sink.write(piece.entry, piece.offset, self._arriving(piece, hashed))
        except Missing:
            return "the object is missing"
        if size != piece.length:
            return f"it has {piece.offset + size} bytes instead of {piece.entry.size}"
        if hashed.hexdigest() != piece.digits:
            where = "" if piece.whole else f" of bytes {piece.offset} to {piece.offset + piece.length}"
            return (
                f"its hash{where} is {HASH_ALGORITHM}:{hashed.hexdigest()}, the manifest says {piece.digits}"
            )
        return ""

    def _arriving(self, piece: Piece, hashed: xxhash.xxh3_128) -> Iterator[Chunk]:
        """The object's bytes; a broken stream goes on where it broke."""
        done, failures = 0, 0
        while True:
            start = done
            length = min(RANGE_BYTES, piece.length - done)
            try:
                for chunk in self._bucket.stream(piece.entry.key, piece.offset + done, length):
                    hashed.update(chunk)
                    done += len(chunk)
                    yield chunk
            except Unsure:
                failures = failures + 1 if done == start else 0
                if failures >= FETCH_TRIES_MAX:
                    raise
                self._runtime.sleep(BACKOFF_FIRST_S * 2**failures)
                continue
            if done >= piece.length or done - start < length:
                return
