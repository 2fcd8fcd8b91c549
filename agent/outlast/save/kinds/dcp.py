"""Torch's distributed checkpoint: `__<rank>_<n>.distcp` files, and `.metadata`, renamed into place last.

The marker alone is worth something only in a fresh folder: over an older save the old `.metadata` lies
beside shards that are half new. So it must be the youngest of them, and name each of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from outlast.save.found import Candidate, FoundFile
from outlast.save.kinds.marked import MarkedFolder, gap, holds
from outlast.save.pickled import NoPickle, words_in

METADATA = ".metadata"
UNFINISHED = ".metadata.tmp"
SHARD = re.compile(r"__(\d+)_\d+\.distcp")
RANK_METADATA = re.compile(r"__(\d+)\.metadata")  # written by each rank when collectives are switched off


class DistributedCheckpoint(MarkedFolder):
    name = "dcp"

    def claims(self, folder: Path) -> bool:
        if holds(folder, METADATA, UNFINISHED):
            return True
        return any(path.name.endswith(".distcp") for path in folder.iterdir())

    def lacking(self, candidate: Candidate, paths: dict[str, FoundFile]) -> str:
        return dcp_lacks(candidate.at, paths)

    def vouches(self) -> str:
        return f"{METADATA} is the last and names every shard"

    def stamped(self, path: str) -> bool:
        return path.rsplit("/", 1)[-1].endswith(METADATA)


def dcp_folders(paths: dict[str, FoundFile]) -> dict[str, dict[str, FoundFile]]:
    """Every folder in it (with a `/` behind, "" for itself) that is laid out so: its files by name."""
    folders: dict[str, dict[str, FoundFile]] = defaultdict(dict)
    for path, file in paths.items():
        folder, slash, name = path.rpartition("/")
        if SHARD.fullmatch(name) or name in (METADATA, UNFINISHED) or RANK_METADATA.fullmatch(name):
            folders[folder + slash][name] = file
    return folders


def dcp_lacks(at: Path, paths: dict[str, FoundFile]) -> str:
    """Why the distributed checkpoints in a folder are not whole, or "". Raises OSError."""
    for prefix, files in sorted(dcp_folders(paths).items()):
        why = _lacks(at / prefix, files)
        if why:
            return f"{prefix}{why}"
    return ""


def _lacks(folder: Path, files: dict[str, FoundFile]) -> str:
    shards = {name: file for name, file in files.items() if name.endswith(".distcp")}
    markers = {name: file for name, file in files.items() if name.endswith(METADATA)}
    if not markers:
        return f"{METADATA} is not there, and it is written last"
    if METADATA not in markers:
        ranks = {int(match[1]) for match in map(RANK_METADATA.fullmatch, markers) if match}
        wanted = ranks | {int(match[1]) for match in map(SHARD.fullmatch, shards) if match}
        missing = gap(wanted) if gap(wanted) is not None else min(wanted - ranks, default=None)
        if missing is not None:
            return f"__{missing}{METADATA} is not there"
    newest = max((file.mtime_ns for file in shards.values()), default=0)
    for name, marker in markers.items():
        if marker.mtime_ns < newest and name == METADATA:
            return f"{METADATA} is older than a shard: a save over an earlier one has begun"
        try:
            named = words_in((folder / name).read_bytes())
        except NoPickle as error:
            return f"{name} can't be read: {error}"
        for shard in sorted(word for word in named if SHARD.fullmatch(word)):
            if shard not in shards:
                return f"{shard}, which {name} names, is not there"
    return ""
