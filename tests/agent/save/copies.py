"""What the agent uploads, of any folder; loads no torch, for the processes that only upload."""

from __future__ import annotations

from pathlib import Path

from outlast.protocol.objects import Confidence
from outlast.save.sources import FileSource
from outlast.save.types import StableCopy, StableFile


def stable(folder: Path, step: int = 1, kind: str = "torch-folder:x") -> StableCopy:
    """A copy whose files are those of `folder`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = tuple(
        StableFile(path.relative_to(folder).as_posix(), FileSource(path, path.stat().st_size))
        for path in paths
    )
    return StableCopy(step, kind, Confidence.HEURISTIC, files, lambda: None)
