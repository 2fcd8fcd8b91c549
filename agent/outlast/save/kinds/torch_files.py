"""Plain files of `torch.save` or safetensors: those of one number belong together."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from outlast.save import generic
from outlast.save.found import Candidate, FoundFile, Look, Verdict
from outlast.save.kinds.layout import Layout
from outlast.save.kinds.torch_folder import heavy
from outlast.save.naming import SUFFIXES, number_in


class TorchFiles(Layout):
    name = "torch-files"
    strong = False
    may_link = False

    def claims(self, name: str) -> bool:
        return name.endswith(SUFFIXES)

    def candidates(self, root: Path, entries: tuple[Path, ...]) -> list[Candidate]:
        groups: dict[int | None, list[Path]] = defaultdict(list)
        for entry in entries:
            if self.claims(entry.name) and entry.is_file():
                groups[number_in(entry.relative_to(root).as_posix())].append(entry)
        return [
            Candidate(self.name, "the files without a number" if step is None else f"the files of {step}",
                      step, root, tuple(files))
            for step, files in groups.items()
        ]  # fmt: skip

    def complete(self, candidate: Candidate, files: tuple[FoundFile, ...], look: Look) -> Verdict:
        return generic.complete(candidate, files, look)

    def identity(self, candidate: Candidate, files: tuple[FoundFile, ...]) -> object:
        return (candidate.key, heavy(files))

    def place(self, step: int, kind: str) -> str:
        del step, kind
        return ""


class MatchedFiles(TorchFiles):
    """Files that the user's own pattern names, whatever they end with."""

    name = "matched-files"

    def claims(self, name: str) -> bool:
        return not name.endswith(generic.UNFINISHED_SUFFIXES)

    def identity(self, candidate: Candidate, files: tuple[FoundFile, ...]) -> object:
        return (candidate.key, tuple((file.path, file.stamp) for file in files))
