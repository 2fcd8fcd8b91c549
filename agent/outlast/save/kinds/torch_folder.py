"""Plain `torch.save` or safetensors files, single, in groups or in a folder: judged by the generic rule."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from outlast.save import generic
from outlast.save.found import Candidate, FoundFile, Look, Verdict

SUFFIXES = (".pt", ".pth", ".safetensors", ".ckpt", ".bin", ".distcp")
FOLDER_LOOK_DEPTH = 3
UNNUMBERED_FOLDERS = frozenset({"last", "latest", "current", "checkpoint", "ckpt", "model", "state"})
WORDS = "checkpoint|ckpt|global_?step|step|iteration|iter|epoch|save"
WORDED = re.compile(rf"(?:^|[-_.=])(?P<word>{WORDS})[-_=]?(?P<number>\d+)(?=$|[-_.=])", re.IGNORECASE)
SHARD = re.compile(r"-\d+-of-\d+")


def number_of(stem: str) -> int | None:
    """The step in a name: the number behind the word step if there is one, else the last lone number."""
    stem = SHARD.sub("", stem)
    worded = list(WORDED.finditer(stem))
    for match in worded:
        if "step" in match["word"].lower():
            return int(match["number"])
    if worded:
        return int(worded[-1]["number"])
    lone = [token for token in re.split(r"[-_.=]", stem) if token.isdigit()]
    return int(lone[-1]) if lone else None


def heavy(files: tuple[FoundFile, ...]) -> object:
    """What the checkpoint is by its tensors: a note that is added later does not make another one."""
    return tuple((file.path, file.stamp) for file in files if file.path.endswith(SUFFIXES))


class TorchFolder:
    """A subfolder such as `step_100`, `epoch=3` or `last`, whatever lies in it."""

    name = "torch-folder"
    may_link = False

    def candidates(self, root: Path, entries: tuple[Path, ...]) -> list[Candidate]:
        del root
        found = []
        for entry in entries:
            if not entry.is_dir() or entry.name.endswith(generic.UNFINISHED_SUFFIXES):
                continue
            worded = WORDED.search(entry.name) or entry.name.isdigit()
            if (worded or entry.name in UNNUMBERED_FOLDERS) and _holds_tensors(entry):
                kind = f"{self.name}:{entry.name}"
                found.append(Candidate(kind, entry.name, number_of(entry.name), entry))
        return found

    def complete(self, candidate: Candidate, files: tuple[FoundFile, ...], look: Look) -> Verdict:
        return generic.complete(candidate, files, look)

    def identity(self, candidate: Candidate, files: tuple[FoundFile, ...]) -> object:
        return (candidate.key, heavy(files))

    def folder_name(self, step: int, kind: str) -> str:
        name = kind.partition(":")[2]
        return name if name and "/" not in name and name not in (".", "..") else f"step-{step}"


class TorchFiles:
    """Plain files in the checkpoint folder itself; those of one number belong together."""

    name = "torch-files"
    may_link = False

    def candidates(self, root: Path, entries: tuple[Path, ...]) -> list[Candidate]:
        groups: dict[int | None, list[Path]] = defaultdict(list)
        for entry in entries:
            if entry.name.endswith(SUFFIXES) and entry.is_file():
                groups[number_of(entry.name.rsplit(".", 1)[0])].append(entry)
        return [
            Candidate(self.name, "the files without a number" if step is None else f"the files of {step}",
                      step, root, tuple(files))
            for step, files in groups.items()
        ]  # fmt: skip

    def complete(self, candidate: Candidate, files: tuple[FoundFile, ...], look: Look) -> Verdict:
        return generic.complete(candidate, files, look)

    def identity(self, candidate: Candidate, files: tuple[FoundFile, ...]) -> object:
        return (candidate.key, heavy(files))

    def folder_name(self, step: int, kind: str) -> str:
        del step, kind
        return ""


def _holds_tensors(folder: Path, depth: int = FOLDER_LOOK_DEPTH) -> bool:
    try:
        entries = list(folder.iterdir())
    except OSError:
        return False
    if any(entry.name.endswith(SUFFIXES) for entry in entries):
        return True
    return depth > 1 and any(_holds_tensors(entry, depth - 1) for entry in entries if entry.is_dir())
