"""Lightning's `.ckpt`: a file that holds everything and its own step, or a folder with `meta.pt` last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
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
from outlast.save.generic import settled, torn
from outlast.save.kinds import deepspeed
from outlast.save.kinds.dcp import METADATA, dcp_lacks
from outlast.save.kinds.layout import Layout
from outlast.save.kinds.marked import MarkedFolder, holds
from outlast.save.naming import number_of
from outlast.save.pickled import NoPickle, stepped

SUFFIX = ".ckpt"
MARK = "pytorch-lightning_version"
STEP = "global_step"
META = "meta.pt"


class LightningFile(Layout):
    """One file, so an archive that is whole is a checkpoint that is whole, in place or not.

    (It is moved into place from the folder for temporary files: across file systems that is a copy, and a
    name that is there says nothing.)
    """

    name = "lightning"
    strong = True
    may_link = False

    def candidates(self, root: Path, entries: tuple[Path, ...]) -> list[Candidate]:
        found = []
        for entry in entries:
            if entry.name.endswith(SUFFIX) and entry.is_file():
                step = _step(entry)
                if step is not None:
                    found.append(
                        Candidate(self.name, entry.relative_to(root).as_posix(), step, root, (entry,))
                    )
        return found

    def chosen(self, found: Sequence[Candidate]) -> Sequence[Candidate]:
        """Where there is a `last.ckpt` (or `last-v1.ckpt`), `ckpt_path="last"` takes it: the others, kept by
        their score, are left alone. But one of a later step, as our callback saves on a notice, is newer.
        """
        beside: dict[Path, list[Candidate]] = defaultdict(list)
        for candidate in found:
            beside[candidate.files[0].parent].append(candidate)
        chosen: list[Candidate] = []
        for group in beside.values():
            last = [candidate for candidate in group if candidate.files[0].name.startswith("last")]
            newest = max((candidate.step or 0 for candidate in last), default=-1)
            chosen += [one for one in last if one.step == newest]
            chosen += [one for one in group if (one.step or 0) > newest]
        return chosen

    def complete(self, candidate: Candidate, files: tuple[FoundFile, ...], look: Look) -> Verdict:
        waiting = settled(candidate, files, look)
        why = waiting.why if waiting else torn(files)
        if why:
            return Broken(why) if look.exited_badly or look.ended_well else NotYet(why)
        return Complete(Confidence.STRONG, f"the archive is whole and says step {candidate.step}")

    def identity(self, candidate: Candidate, files: tuple[FoundFile, ...]) -> object:
        return (candidate.key, *(file.stamp for file in files))

    def place(self, step: int, kind: str) -> str:
        del step, kind
        return ""


def _step(path: Path) -> int | None:
    """None: not Lightning's, or not whole (then the generic rule looks at it, and finds it torn)."""
    try:
        info = path.stat()
        return stepped(path, (info.st_ino, info.st_size, info.st_mtime_ns), MARK, STEP)
    except (NoPickle, OSError):
        return None


class LightningFolder(MarkedFolder):
    """Sharded (FSDP, ModelParallel): a distributed checkpoint, then `meta.pt`, by rank 0. Or DeepSpeed's."""

    name = "lightning-folder"

    def claims(self, folder: Path) -> bool:
        return folder.name.endswith(SUFFIX) and holds(
            folder, META, METADATA, deepspeed.LATEST, "checkpoint", f"{METADATA}.tmp"
        )

    def step_of(self, folder: Path) -> int | None:
        return number_of(folder.name.removesuffix(SUFFIX))

    def lacking(self, candidate: Candidate, paths: dict[str, FoundFile]) -> str:
        if deepspeed.LATEST in paths or any(path.endswith("_states.pt") for path in paths):
            return deepspeed.inner_lacks(candidate.at, paths)
        meta, metadata = paths.get(META), paths.get(METADATA)
        if meta is None or metadata is None:
            return f"{META if meta is None else METADATA} is not there, and {META} is written last"
        if meta.mtime_ns < metadata.mtime_ns:
            return f"{META} is older than {METADATA}: a save over an earlier one has begun"
        return dcp_lacks(candidate.at, paths)

    def vouches(self) -> str:
        return f"{META} is the last and {METADATA} names every shard"

    def stamped(self, path: str) -> bool:
        return path in (META, deepspeed.LATEST)

    def usual(self, step: int) -> str:
        return f"step={step}{SUFFIX}"
