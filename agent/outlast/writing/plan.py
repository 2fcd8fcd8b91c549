"""What the trainer tells its writer process, and what that answers: one JSON line each. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from outlast.protocol.codec import dump, load
from outlast.save.marker import MarkedFile

NO_MORE = b"\n"  # instead of a plan: nothing comes any more
BLOCK_BYTES = 4096  # files begin at multiples in the arena: what direct I/O asks for


@dataclass(frozen=True)
class PlannedFile:
    """A file whose bytes lie ready in the arena at `offset`.

    `may_stay`: worth comparing with the save before.
    """

    name: str
    offset: int
    size: int
    may_stay: bool = False


@dataclass(frozen=True)
class SavePlan:
    """One save. Without `commit` the files are only made durable in the temp folder."""

    root: str
    temp: str  # name of the folder that is renamed into place
    step: int
    arena_bytes: int
    files: tuple[PlannedFile, ...] = ()
    request: str = ""
    before: int | None = None  # the step whose folder may hold some of the files unchanged
    others: tuple[MarkedFile, ...] = ()  # what other ranks have made durable in the temp folder
    commit: bool = True
    drop: tuple[int, ...] = ()  # steps to delete afterwards


@dataclass(frozen=True)
class SaveResult:
    """What became of a plan: `error` is empty, or says why nothing of it counts."""

    step: int
    error: str = ""
    errno: int = 0
    files: tuple[MarkedFile, ...] = ()
    written_bytes: int = 0  # the rest was linked


def line_of(message: SavePlan | SaveResult) -> bytes:
    return dump(message) + b"\n"


def read_plan(line: bytes) -> SavePlan:
    """Raises FormatError."""
    return load(SavePlan, line)


def read_result(line: bytes) -> SaveResult:
    """Raises FormatError."""
    return load(SaveResult, line)


def up_to_block(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
