"""What passes from step to step of a save: found → stable copy → draft of a manifest. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from outlast.ports import Source
from outlast.protocol.objects import Confidence, FileEntry, ManifestRef


@dataclass(frozen=True)
class StableFile:
    """A file that nobody changes any more. `path` is relative to the checkpoint, with `/`."""

    path: str
    source: Source
    hash: str = ""  # as its writer noted it, `<algorithm>:<hex>`; checked before it counts. "": not known


@dataclass(frozen=True)
class StableCopy:
    """A complete checkpoint, out of the trainer's reach. `drop` frees its space; safe to repeat."""

    step: int
    kind: str
    confidence: Confidence
    files: tuple[StableFile, ...]
    drop: Callable[[], None]
    final: bool = False
    gate: str = ""
    begun_at: float = 0.0  # by the node's wall clock: when its oldest file was written; 0: not known
    mapped: bool = False  # its files are read as mapped memory, not copied into ours
    numbered: bool = True  # the step is in its name: another node finds the same save by it
    grown: bool = False  # it was found before, with fewer files: the same save, now with the rest of it

    @property
    def bytes(self) -> int:
        return sum(f.source.size for f in self.files)


@dataclass(frozen=True)
class Draft:
    """A checkpoint whose data is durable: what its manifest will say, but for the parent.

    `base` is the manifest whose objects some files name again; if the head is another one by the time of
    the commit, those files must be decided anew (design rule 5).
    """

    name: str
    step: int
    kind: str
    confidence: Confidence
    files: tuple[FileEntry, ...]
    base: ManifestRef | None
    final: bool = False
    gate: str = ""
