"""What the kinds share that lay out a folder of their own: names, the order of the checks, the verdict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from outlast.protocol.objects import Confidence
from outlast.save.found import (
    Broken,
    Candidate,
    Complete,
    FoundFile,
    Look,
    NotYet,
    Verdict,
)
from outlast.save.generic import names_of, settled, torn
from outlast.save.kinds.layout import Layout
from outlast.save.naming import kind_text, number_of, place_in

TEXT_BYTES_MAX = 256 << 20


class MarkedFolder(Layout, ABC):
    """A subfolder whose framework writes something last. A kind fills in `claims` and `lacking`."""

    name = ""
    strong = True
    may_link = False  # torch.save truncates in place: a link would share the torn inode

    @abstractmethod
    def claims(self, folder: Path) -> bool:
        """Whether it looks like this kind's, by names alone. OSError means no."""

    @abstractmethod
    def lacking(self, candidate: Candidate, paths: dict[str, FoundFile]) -> str:
        """Why the marker does not vouch for it (yet), or "". Raises OSError."""

    @abstractmethod
    def vouches(self) -> str:
        """What speaks for a complete one, in words."""

    def usual(self, step: int) -> str:
        """The folder's name when the manifest tells none."""
        return f"step-{step}"

    def step_of(self, folder: Path) -> int | None:
        return number_of(folder.name)

    @abstractmethod
    def stamped(self, path: str) -> bool:
        """Whether a change of this file makes another checkpoint of it."""

    def warning(self, paths: dict[str, FoundFile]) -> str:
        del paths
        return ""

    def candidates(self, root: Path, entries: tuple[Path, ...]) -> list[Candidate]:
        found = []
        for entry in entries:
            if not _yes(entry.is_dir) or not _yes(lambda entry=entry: self.claims(entry)):  # type: ignore[misc]
                continue
            step, key = self.step_of(entry), entry.relative_to(root).as_posix()
            usual = "" if step is None else self.usual(step)
            found.append(Candidate(kind_text(self.name, key, usual), key, step, entry))
        return found

    def complete(self, candidate: Candidate, files: tuple[FoundFile, ...], look: Look) -> Verdict:
        paths = {file.path: file for file in files}
        why = self.lacking(candidate, paths)
        waiting = None if why else settled(candidate, files, look)
        why = why or (waiting.why if waiting else "") or torn(files)
        if why:
            return Broken(why) if look.exited_badly or look.ended_well else NotYet(why)
        absent = (look.names or frozenset()) - names_of(paths, candidate.step)
        if absent and look.exited_badly:
            # Other ranks, or the script itself, may write after the marker: then it alone is too weak.
            return Broken(f"{sorted(absent)[0]} was in the checkpoint before, and the trainer ended badly")
        confidence = Confidence.STRONG if self.strong else Confidence.HEURISTIC
        return Complete(confidence, f"{self.vouches()}, and every file is whole", self.warning(paths))

    def identity(self, candidate: Candidate, files: tuple[FoundFile, ...]) -> object:
        return (candidate.key, *(file.stamp for file in files if self.stamped(file.path)))

    def place(self, step: int, kind: str) -> str:
        return place_in(kind, self.usual(step))


def _yes(ask: Callable[[], bool]) -> bool:
    """A folder that is deleted under the question is nobody's."""
    try:
        return ask()
    except OSError:
        return False


def holds(folder: Path, *names: str) -> bool:
    return any((folder / name).exists() for name in names)


def text_of(path: Path) -> str:
    """What a small text file says, or "" if it is not there, or not text. Raises other OSErrors."""
    try:
        return path.read_bytes()[:TEXT_BYTES_MAX].decode().strip()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return ""


def gap(numbers: set[int]) -> int | None:
    """The first rank that is missing below the highest one."""
    return next((rank for rank in range(max(numbers, default=-1) + 1) if rank not in numbers), None)
