"""Hugging Face Trainer's `checkpoint-<step>`, also with PEFT, FSDP, DeepSpeed and many ranks.

It is written in place, `trainer_state.json` last of rank 0 – but with no barrier behind the other ranks.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from outlast.save.found import Candidate, FoundFile
from outlast.save.kinds import deepspeed
from outlast.save.kinds.dcp import dcp_folders, dcp_lacks
from outlast.save.kinds.marked import TEXT_BYTES_MAX, MarkedFolder, gap, holds

FOLDER = re.compile(r"checkpoint-(\d+)")
STATE = "trainer_state.json"
RANK_STATE = re.compile(r"rng_state_(\d+)\.pth")
# A folder of this name without any of them is somebody's own, and the generic rule's; one with Accelerate's
# random states is Accelerate's, whatever the script has put beside them.
TELLTALES = (
    STATE,
    "training_args.bin",
    "config.json",
    "adapter_config.json",
    "adapter_model.safetensors",
    "adapter_model.bin",
    "pytorch_model_fsdp_0",
    "rng_state.pth",
    "rng_state_0.pth",
    "checkpoint-is-incomplete.txt",
)
ACCELERATES = "random_states_0.pkl"
OPTIMIZERS = ("optimizer.pt", "optimizer.bin")


class HuggingFace(MarkedFolder):
    name = "huggingface"

    def claims(self, folder: Path) -> bool:
        if FOLDER.fullmatch(folder.name) is None or not holds(folder, *TELLTALES):
            return False
        return holds(folder, STATE) or not holds(folder, ACCELERATES)

    def step_of(self, folder: Path) -> int | None:
        match = FOLDER.fullmatch(folder.name)
        return int(match[1]) if match else None

    def lacking(self, candidate: Candidate, paths: dict[str, FoundFile]) -> str:
        if STATE not in paths:
            return f"{STATE} is not there, and it is written last"
        try:
            state = json.loads((candidate.at / STATE).read_bytes()[:TEXT_BYTES_MAX])
        except (UnicodeDecodeError, json.JSONDecodeError):
            return f"{STATE} is not whole yet"
        step = state.get("global_step") if isinstance(state, dict) else None
        if step != candidate.step:
            return f"{STATE} says step {step}, the folder {candidate.step}"
        ranks = {int(match[1]) for match in map(RANK_STATE.fullmatch, paths) if match}
        missing = gap(ranks)
        if missing is not None:
            return f"rng_state_{missing}.pth is not there"
        return (
            missing_shard(candidate.at, paths)
            or dcp_lacks(candidate.at, paths)
            or deepspeed.inner_lacks(candidate.at, paths, len(ranks) or None)
        )

    def vouches(self) -> str:
        return f"{STATE} says so"

    def stamped(self, path: str) -> bool:
        return path == STATE

    def usual(self, step: int) -> str:
        return f"checkpoint-{step}"

    def warning(self, paths: dict[str, FoundFile]) -> str:
        inside = any(folder.startswith("optimizer") for folder in dcp_folders(paths))
        inside = inside or any(path.endswith("_optim_states.pt") for path in paths)
        if inside or any(name in paths for name in OPTIMIZERS):
            return ""
        return "it holds no state of the optimizer (save_only_model?): its momentum begins anew at a resume"


def missing_shard(folder: Path, paths: dict[str, FoundFile]) -> str:
    """A shard that an index names and that is not there, or "". Raises OSError."""
    for index in sorted(path for path in paths if path.endswith(".index.json")):
        try:
            weights = json.loads((folder / index).read_bytes())["weight_map"]
            shards = sorted({str(shard) for shard in weights.values()})
        except (ValueError, KeyError, TypeError, AttributeError):
            return f"{index} can't be read"
        prefix = index.rsplit("/", 1)[0] + "/" if "/" in index else ""
        for shard in shards:
            if prefix + shard not in paths:
                return f"{prefix + shard}, which {index} names, is not there"
    return ""
