"""An attempt in the model: one verb of the real code after the other, in the order of its pointer task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.model.replay import PORT, RUNTIME

from outlast.bucket.generations import take_generation
from outlast.bucket.outcomes import (
    Applied,
    ClaimVerdict,
    Fenced,
    Identity,
    Mine,
    Over,
    OwnVerdict,
    Rebase,
    Stop,
    Wait,
)
from outlast.bucket.owner import PointerOwner
from outlast.ports import BucketError
from outlast.protocol.messages import Permission
from outlast.protocol.objects import (
    Confidence,
    FileEntry,
    Manifest,
    ManifestRef,
    checkpoint_name,
)
from outlast.restore import NothingRestorable, restore_chain
from outlast.save.types import Draft, StableCopy, StableFile
from outlast.save.upload import upload

JOB, OWNER = "j", "o"
KEEP = 2
REBASES_MAX = 3
TOO_LATE = "too late"

Note = tuple[str, str]


@dataclass
class Actor:
    """Somebody with a state of its own, who does one thing at a time until `done`."""

    name: str
    phase: str
    done: bool = False
    writer: str = ""
    notes: list[Note] = field(default_factory=list)  # what it now believes; the world judges it

    @property
    def reads_on(self) -> bool:
        """Its next verb uses what the last one read."""
        return False

    def step(self) -> None:
        """One verb. Raises NeedsReply. (An actor that is nothing but this one is over, or dead.)"""
        return

    def stop(self, *note: str) -> None:
        self.done = True
        self.notes.append((note[0], note[1]))


@dataclass
class Attempt(Actor):
    """An attempt: it may take its number, claims, restores, saves, prunes, collects, and ends."""

    generation: int = 0  # 0: it has to take one first
    saves: int = 1
    ending: str = "release"
    twin_of: str = ""  # a second machine for the same attempt: its number is the other one's
    step_done: int = 0
    tries: int = 0
    collected: bool = False
    at_least: int = 0
    permission: Permission = field(default_factory=Permission)
    base: tuple[ManifestRef, Manifest] | None = None
    draft: Draft | None = None
    owner: PointerOwner | None = None

    def step(self) -> None:
        try:
            getattr(self, f"_{self.phase}")()
        except BucketError:
            return  # the loop gives the same order again

    @property
    def reads_on(self) -> bool:
        return self.phase == "restore"

    def mine(self) -> PointerOwner:
        if self.owner is None:
            me = Identity(OWNER, JOB, self.generation, self.writer, self.twin_of or self.name)
            self.owner = PointerOwner(RUNTIME, PORT, me, unheard, keep=KEEP)
        return self.owner

    # one method a phase

    def _plan(self) -> None:
        self.at_least = PORT.ask("plan", self.name)
        self.phase = "take"

    def _take(self) -> None:
        if self.twin_of:
            self.generation = PORT.ask("number of", self.twin_of)
        else:
            self.generation = take_generation(PORT, self.at_least, OWNER, self.name, "")
        self.notes.append(("took", f"{self.generation}"))
        self.phase = "ask"

    def _ask(self) -> None:
        self.permission = PORT.ask("permission", self.name)
        self.phase = "claim"

    def _claim(self) -> None:
        permission, self.permission = self.permission, Permission()
        self.phase = "ask"
        verdict = self.mine().claim(permission)
        if isinstance(verdict, Applied):
            self.notes.append(("claimed", f"{self.generation} {self.writer}"))
            if permission.start_from is not None and verdict.pointer.head == permission.start_from:
                self.notes.append(("rolled back to", permission.start_from.name))
            self.phase = "restore"
        elif not isinstance(verdict, Wait):
            self._leave(verdict)

    def _restore(self) -> None:
        pointer = self.mine().pointer
        assert pointer is not None
        try:
            restored = restore_chain(RUNTIME, PORT, pointer, _Sink(), unheard)
        except NothingRestorable as error:
            self.stop("cannot restore", str(error))
            return
        if restored is not None:
            if restored.fell_back:
                self.notes.append(("fell back", restored.why))
            self.base = (restored.ref, restored.manifest)
            self.step_done = restored.ref.step
        self.phase = "upload" if self.saves else "close"

    def _upload(self) -> None:
        name = checkpoint_name(self.step_done + 1, self.generation, f"{self.writer}{self.tries}")
        files = (
            StableFile("new", _Bytes(name.encode())),
            StableFile("same", _Bytes(b"the same in all checkpoints")),
        )
        copy = StableCopy(self.step_done + 1, "model", Confidence.STRONG, files, _nothing)
        self.draft = upload(PORT, RUNTIME, copy, name, self.base, lambda _done, _all: None)
        self.phase = "commit"

    def _commit(self) -> None:
        assert self.draft is not None
        verdict = self.mine().commit(self.draft)
        if isinstance(verdict, Rebase):
            self.tries += 1
            self.base, self.phase = None, "upload"
            if self.tries > REBASES_MAX:
                self.stop("alarm", f"{self.tries} rebases for one checkpoint")
        elif isinstance(verdict, Applied):
            self.notes.append(("committed", self.draft.name))
            self.step_done += 1
            self.saves -= 1
            head = verdict.pointer.head
            assert head is not None
            self.base, self.draft = (head, self.mine()._cache.read(head)), None
            self.phase = "prune"
        else:
            self._leave(verdict)

    def _prune(self) -> None:
        """As `PointerTask._prune`: and once an attempt, what lower generations left is collected."""
        verdict = self.mine().prune()
        if isinstance(verdict, Rebase) or not isinstance(verdict, (Applied, Mine)):
            self._leave(verdict)
            return
        if not self.collected:
            self.mine().collect_garbage()
            self.collected = True
        self.phase = "upload" if self.saves else "close"

    def _close(self) -> None:
        mine = self.mine()
        verdict = mine.release("") if self.ending == "release" else mine.end(int(self.ending), "")
        if isinstance(verdict, Applied):
            self.stop("closed", f"{self.generation} {self.writer}")
        else:
            self._leave(verdict)

    def _leave(self, verdict: ClaimVerdict | OwnVerdict | Rebase) -> None:
        if isinstance(verdict, (Over, Fenced)):
            self.stop("over", verdict.why)
        elif isinstance(verdict, Stop) and TOO_LATE in verdict.why:
            self.stop("too late", verdict.why)
        else:
            self.stop("alarm", verdict.why)


@dataclass(frozen=True)
class _Bytes:
    """`outlast.ports.Source` in memory."""

    body: bytes

    @property
    def size(self) -> int:
        return len(self.body)

    def read(self, offset: int, length: int) -> bytes:
        return self.body[offset : offset + length]


class _Sink:
    """`outlast.sink.Sink` of a disk that never fails; nothing was fetched before."""

    def open(self, manifest: Manifest, entry: FileEntry) -> bool:
        return False

    def read(self, entry: FileEntry, offset: int, length: int) -> Iterator[bytes]:
        return iter(())

    def write(self, entry: FileEntry, offset: int, chunks: Iterator[bytes | memoryview]) -> int:
        return sum(len(chunk) for chunk in chunks)

    def place(self, manifest: Manifest) -> None:
        return

    def settle(self, manifest: Manifest) -> None:
        return


def unheard(kind: str, why: str, data: dict[str, str]) -> None:
    """What the log is told changes nothing of what is done."""


def _nothing() -> None:
    """A stable copy in memory has nothing to free."""
