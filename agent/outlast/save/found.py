"""What the look at the trainer's folder speaks about: candidates, verdicts and finds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from outlast.protocol.objects import Confidence


@dataclass(frozen=True)
class FoundFile:
    """A file as it was when the checkpoint was judged. `path` is relative to the checkpoint, with `/`."""

    path: str
    at: Path
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    links: int = 1
    sealed: bool = False  # only ever replaced by rename, and linked by its trainer: the ctime says nothing

    @property
    def stamp(self) -> tuple[int, int, int]:
        """Changes when somebody writes into the file or puts another one in its place."""
        return (self.inode, self.size, self.mtime_ns)

    def same(self, now: os.stat_result) -> bool:
        """Nobody wrote into it. A link made or removed (our own, a rotation) changes the ctime too."""
        if (now.st_ino, now.st_size, now.st_mtime_ns) != self.stamp:
            return False
        return self.sealed or now.st_ctime_ns == self.ctime_ns or now.st_nlink != self.links


@dataclass(frozen=True)
class Candidate:
    """Something in the trainer's folder that may be, or become, a checkpoint.

    `key` is its path in the folder: a subfolder's, a file's, or the name of a group of plain files.
    """

    kind: str  # as a manifest says it: the kind's name, with the place behind a colon unless it is the usual
    key: str
    step: int | None  # None: nothing says it, and the trainer overwrites it in place
    at: Path  # the folder, or the one that the paths of `files` are relative to
    files: tuple[Path, ...] = ()  # of a file or a group; a folder's are found by walking it

    @property
    def paths(self) -> tuple[Path, ...]:
        """What is moved when it is moved."""
        return self.files or (self.at,)


@dataclass(frozen=True)
class Complete:
    confidence: Confidence
    why: str
    warning: str = ""  # it can be resumed from, but a person should know this


@dataclass(frozen=True)
class NotYet:
    why: str


@dataclass(frozen=True)
class Broken:
    """It will never be complete as it is."""

    why: str


Verdict = Complete | NotYet | Broken


@dataclass
class QuietMemory:
    """Since when each candidate has looked as it does now: (what it looked like, when first seen so)."""

    seen: dict[str, tuple[object, float]] = field(default_factory=dict)

    def quiet_s(self, key: str, looks: object, now_s: float) -> float:
        before = self.seen.get(key)
        if before is None or before[0] != looks:
            self.seen[key] = (looks, now_s)
            return 0.0
        return now_s - before[1]

    def forget_others(self, keys: Iterable[str]) -> None:
        """Drops what is no longer there, so that a job of a year does not grow."""
        keep = set(keys)
        self.seen = {key: value for key, value in self.seen.items() if key in keep}


@dataclass(frozen=True)
class Look:
    """The circumstances of one scan."""

    now_s: float
    pids: Iterable[int]  # the trainer's tree, as it is whenever one goes through it
    quiet_s: float
    quiet: QuietMemory
    exited_badly: bool = False  # the trainer crashed or was killed: half a save may lie there for ever
    ended_well: bool = False  # the trainer ended with 0: nobody writes any more
    names: frozenset[str] | None = None  # of the last committed one of this kind, numbers aside
    patient: bool = False  # this folder's checkpoints have a marker: one without may be half of such a one


@dataclass(frozen=True)
class Tracker:
    """A small file in the checkpoint folder that names the newest checkpoint, for the framework to read."""

    path: str
    body: bytes


class Kind(Protocol):
    """One framework's way to lay out checkpoints. Kept in the tuple `kinds.ALL`, strongest first.

    It has no memory, and changes nothing: what it says rests on the files alone.
    """

    name: str
    strong: bool  # the framework says itself when a save is whole: that holds after a crash, too
    may_link: bool  # its files are only ever replaced by rename: a hard link can't be written through

    def candidates(self, root: Path, entries: tuple[Path, ...]) -> list[Candidate]:
        """Which of `entries`, all somewhere under `root`, look like this kind's, by name and contents."""

    def chosen(self, found: Sequence[Candidate]) -> Sequence[Candidate]:
        """Those of its candidates in one folder that are worth saving."""

    def complete(self, candidate: Candidate, files: tuple[FoundFile, ...], look: Look) -> Verdict: ...

    def identity(self, candidate: Candidate, files: tuple[FoundFile, ...]) -> object:
        """Equal for two looks at one checkpoint, different once another was written over it."""

    def place(self, step: int, kind: str) -> str:
        """Where restore must put such a checkpoint, relative to the root; "": each file by its own path."""

    def tracker(self, step: int, kind: str) -> Tracker | None:
        """What the framework reads in order to find it. Then the trainer is told the root to resume from."""


@dataclass(frozen=True)
class Found:
    """A complete checkpoint that was not handed out before."""

    step: int
    kind: str
    confidence: Confidence
    at: Path
    files: tuple[FoundFile, ...]
    may_link: bool
    why: str
    names: frozenset[str] = frozenset()  # of its files, the step's number put aside
    key: str = ""  # of the candidate
    warning: str = ""
    numbered: bool = True  # the step is in its name, not the watcher's guess
    grown: bool = False  # it was told before, with fewer files: the same save, now with the rest of it

    @property
    def bytes(self) -> int:
        return sum(f.size for f in self.files)
