"""Any other folder with tensors, such as `step_100`, `epoch=3` or `last`: judged by the generic rule."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from outlast.save import generic
from outlast.save.found import Candidate, FoundFile, Look, Verdict
from outlast.save.kinds.layout import Layout
from outlast.save.naming import SUFFIXES, UNNUMBERED_FOLDERS, number_in, number_of, numbered, place_in

FOLDER_LOOK_DEPTH = 3
ELSEWHERE = re.compile(r"checkpoint[-_]\d+")  # how a framework that writes many files begins, too


def heavy(files: tuple[FoundFile, ...]) -> object:
    """What the checkpoint is by its tensors: a note that is added later does not make another one."""
    return tuple((file.path, file.stamp) for file in files if file.path.endswith(SUFFIXES))


class TorchFolder(Layout):
    name = "torch-folder"
    strong = False
    may_link = False

    def candidates(self, root: Path, entries: tuple[Path, ...]) -> list[Candidate]:
        found = []
        for entry in entries:
            if not entry.is_dir() or entry.name.endswith(generic.UNFINISHED_SUFFIXES):
                continue
            if (numbered(entry.name) or entry.name in UNNUMBERED_FOLDERS) and holds_tensors(entry):
                key = entry.relative_to(root).as_posix()
                found.append(Candidate(f"{self.name}:{key}", key, number_of(entry.name), entry))
        return found

    def complete(self, candidate: Candidate, files: tuple[FoundFile, ...], look: Look) -> Verdict:
        patient = look.patient or ELSEWHERE.fullmatch(candidate.at.name) is not None
        return generic.complete(candidate, files, replace(look, patient=patient))

    def identity(self, candidate: Candidate, files: tuple[FoundFile, ...]) -> object:
        return (candidate.key, heavy(files))

    def place(self, step: int, kind: str) -> str:
        return place_in(kind, f"step-{step}")


def holds_tensors(folder: Path, depth: int = FOLDER_LOOK_DEPTH) -> bool:
    try:
        entries = list(folder.iterdir())
    except OSError:
        return False
    if any(entry.name.endswith(SUFFIXES) for entry in entries):
        return True
    return depth > 1 and any(holds_tensors(entry, depth - 1) for entry in entries if entry.is_dir())


class MatchedFolder(TorchFolder):
    """A folder that the user's own pattern names, whatever it is called and whatever lies in it."""

    name = "matched-folder"

    def candidates(self, root: Path, entries: tuple[Path, ...]) -> list[Candidate]:
        found = []
        for entry in entries:
            if entry.is_dir():
                key = entry.relative_to(root).as_posix()
                found.append(Candidate(f"{self.name}:{key}", key, number_in(key), entry))
        return found

    def identity(self, candidate: Candidate, files: tuple[FoundFile, ...]) -> object:
        return (candidate.key, tuple((file.path, file.stamp) for file in files))
