"""torchtitan's `step-<N>` when it exports in Hugging Face's format: shards, then the index that names them.

Its usual `step-<N>` is a distributed checkpoint of torch, and `dcp` knows it. torchtitan itself counts a
folder when it has `.metadata` or this index (`components/checkpoint.py`: _find_load_step).
"""

from __future__ import annotations

import re
from pathlib import Path

from outlast.save.found import Candidate, FoundFile
from outlast.save.kinds.huggingface import missing_shard
from outlast.save.kinds.marked import MarkedFolder, holds

FOLDER = re.compile(r"step-\d+")
SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
INDEX = "model.safetensors.index.json"


class TorchTitan(MarkedFolder):
    name = "torchtitan"

    def claims(self, folder: Path) -> bool:
        if FOLDER.fullmatch(folder.name) is None:
            return False
        return holds(folder, INDEX) or any(SHARD.fullmatch(path.name) for path in folder.iterdir())

    def lacking(self, candidate: Candidate, paths: dict[str, FoundFile]) -> str:
        if INDEX not in paths:
            return f"{INDEX} is not there, and it is written last"
        return missing_shard(candidate.at, paths)

    def vouches(self) -> str:
        return f"{INDEX} names every shard"

    def stamped(self, path: str) -> bool:
        return path == INDEX

    def warning(self, paths: dict[str, FoundFile]) -> str:
        del paths
        return "it holds the model alone, no optimizer: it is meant for the end of a training"
