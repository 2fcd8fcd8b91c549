"""Reads a job's output from the log chunks in its bucket, from a place that a reader can come back to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outlast.ports import Bucket
from outlast.protocol.objects import log_prefix

BYTES_MAX = 1 << 20  # of one answer


@dataclass(frozen=True)
class Place:
    """How far a reader is in one attempt's output: for each boot of the agent, the last chunk read.

    Boots have random names, so the order among them is the order in which this reader met them.
    """

    generation: int
    boots: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        return ".".join([str(self.generation), *(f"{boot}~{number}" for boot, number in self.boots)])

    @staticmethod
    def parse(text: str) -> Place:
        """Raises ValueError."""
        generation, *boots = text.split(".")
        pairs = [boot.split("~") for boot in boots]
        try:
            return Place(int(generation), tuple((boot, int(number)) for boot, number in pairs))
        except ValueError as error:
            raise ValueError(f"{text!r} is not a place in a log") from error


@dataclass(frozen=True)
class Piece:
    body: bytes
    place: Place
    more: bool  # there is more already


def read(bucket: Bucket, place: Place, rank: int) -> Piece:
    """What comes after `place` in its attempt, whole chunks, up to a size. Raises BucketError."""
    seen = dict(place.boots)
    chunks: dict[str, list[tuple[int, str]]] = {}
    for info in bucket.list(log_prefix(place.generation, rank)):
        boot, _, digits = info.key.rpartition("/")[2].rpartition("-")
        if digits.isdecimal() and int(digits) > seen.get(boot, -1):
            chunks.setdefault(boot, []).append((int(digits), info.key))
    order = [boot for boot in seen if boot in chunks] + [boot for boot in chunks if boot not in seen]
    body = bytearray()
    for boot in order:
        for number, key in sorted(chunks[boot]):
            if len(body) >= BYTES_MAX:
                return Piece(bytes(body), Place(place.generation, tuple(seen.items())), True)
            body += bucket.get(key).body
            seen[boot] = number
    return Piece(bytes(body), Place(place.generation, tuple(seen.items())), False)


def advance(bucket: Bucket, place: Place, rank: int, generations: Sequence[int], pinned: bool) -> Piece:
    """As `read`; at the end of an attempt's output it goes on with the next one's, unless pinned."""
    later = [] if pinned else [g for g in sorted(generations) if g > place.generation]
    piece = read(bucket, place, rank)
    for generation in later:
        if piece.body:
            break
        following = read(bucket, Place(generation), rank)
        if following.body:
            piece = following
    return piece
