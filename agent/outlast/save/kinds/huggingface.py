"""Hugging Face Trainer's `checkpoint-<step>`: written in place, `trainer_state.json` last of rank 0."""

from __future__ import annotations

import json
import re
from pathlib import Path

from outlast.protocol.objects import Confidence
from outlast.save.found import Broken, Candidate, Complete, FoundFile, Look, NotYet, Verdict
from outlast.save.generic import names_of, settled, torn

FOLDER = re.compile(r"checkpoint-(\d+)")
STATE = "trainer_state.json"
RANK_STATE = re.compile(r"rng_state_(\d+)\.pth")
# A folder of this name without any of them is somebody's own, and the generic rule's.
TELLTALES = (
    STATE,
    "training_args.bin",
    "config.json",
    "adapter_config.json",
    "rng_state.pth",
    "rng_state_0.pth",
)
STATE_BYTES_MAX = 256 << 20


class HuggingFace:
    name = "huggingface"
    may_link = False  # torch.save truncates in place: a link would share the torn inode

    def candidates(self, root: Path, entries: tuple[Path, ...]) -> list[Candidate]:
        del root
        found = []
        for entry in entries:
            match = FOLDER.fullmatch(entry.name)
            if match and any((entry / name).exists() for name in TELLTALES):
                found.append(Candidate(self.name, entry.name, int(match.group(1)), entry))
        return found

    def complete(self, candidate: Candidate, files: tuple[FoundFile, ...], look: Look) -> Verdict:
        paths = {file.path for file in files}
        if STATE not in paths:
            return self._waiting(f"{STATE} is not there, and it is written last", look)
        try:
            state = json.loads((candidate.at / STATE).read_bytes()[:STATE_BYTES_MAX])
        except (UnicodeDecodeError, json.JSONDecodeError):
            return self._waiting(f"{STATE} is not whole yet", look)
        except FileNotFoundError:
            return NotYet("it was deleted meanwhile")
        step = state.get("global_step") if isinstance(state, dict) else None
        if step != candidate.step:
            return self._waiting(f"{STATE} says step {step}, the folder {candidate.step}", look)
        waiting = settled(candidate, files, look)
        if waiting is not None:
            return self._waiting(waiting.why, look)
        why = torn(files) or missing_shard(candidate.at, paths) or missing_rank(paths)
        if why:
            return self._waiting(why, look)
        absent = (look.names or frozenset()) - names_of(paths, candidate.step)
        if absent and look.exited_badly:
            # Other ranks write after rank 0's marker, with no barrier: here the marker alone is too weak.
            return Broken(f"{sorted(absent)[0]} was in the checkpoint before, and the trainer ended badly")
        return Complete(Confidence.STRONG, f"{STATE} says step {step}, and every file is whole")

    def _waiting(self, why: str, look: Look) -> Verdict:
        return Broken(why) if look.exited_badly or look.ended_well else NotYet(why)

    def identity(self, candidate: Candidate, files: tuple[FoundFile, ...]) -> object:
        return (candidate.key, *(file.stamp for file in files if file.path == STATE))

    def folder_name(self, step: int, kind: str) -> str:
        del kind
        return f"checkpoint-{step}"


def missing_shard(folder: Path, paths: set[str]) -> str:
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


def missing_rank(paths: set[str]) -> str:
    """A rank whose random state is not there though a higher one's is, or ""."""
    ranks = sorted(int(m.group(1)) for m in map(RANK_STATE.fullmatch, paths) if m)
    for expected, rank in enumerate(ranks):
        if expected != rank:
            return f"rng_state_{expected}.pth is not there"
    return ""
