"""Accelerate's `save_state` folder: no marker, so the generic rule judges, helped by the ranks and shards.

Every rank writes `random_states_<rank>.pkl` after the weights; objects that the script registered follow.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from outlast.save import generic
from outlast.save.found import Broken, Candidate, FoundFile, Look, NotYet, Verdict
from outlast.save.kinds import deepspeed
from outlast.save.kinds.dcp import dcp_lacks
from outlast.save.kinds.huggingface import missing_shard
from outlast.save.kinds.marked import MarkedFolder, gap, holds
from outlast.save.naming import SUFFIXES

AUTOMATIC = re.compile(r"checkpoint_\d+")
RANDOM_STATES = re.compile(r"random_states_(\d+)\.pkl")
OWN = ("optimizer.bin", "scheduler.bin", "random_states_0.pkl", "sampler.bin")
# What may lie in it before one of those does; anything else is a script's own folder of the same name.
BEGINNING = re.compile(
    r"(model|pytorch_model|pytorch_model_fsdp|optimizer|scheduler|sampler|dl_state_dict|random_states)"
    r"(_\d+)?(-\d+-of-\d+)?(\.safetensors|\.bin|\.pkl)?(\.index\.json)?"
    r"|custom_checkpoint_\d+\.pkl|scaler\.pt|latest|zero_to_fp32\.py"
)
FIRST_QUIET_FACTOR = 3  # nothing to compare the first one with: it is waited for longer


class Accelerate(MarkedFolder):
    name = "accelerate"
    strong = False

    def claims(self, folder: Path) -> bool:
        if holds(folder, *OWN):
            return not holds(folder, "trainer_state.json", "training_args.bin")
        if AUTOMATIC.fullmatch(folder.name) is None:
            return False
        names = [path.name for path in folder.iterdir()]
        return bool(names) and all(map(BEGINNING.fullmatch, names))

    def lacking(self, candidate: Candidate, paths: dict[str, FoundFile]) -> str:
        ranks = {int(match[1]) for match in map(RANDOM_STATES.fullmatch, paths) if match}
        if not ranks:
            return "random_states_0.pkl is not there, and it is written after the weights"
        missing = gap(ranks)
        if missing is not None:
            return f"random_states_{missing}.pkl is not there"
        return (
            missing_shard(candidate.at, paths)
            or dcp_lacks(candidate.at, paths)
            or deepspeed.inner_lacks(candidate.at, paths, len(ranks))
        )

    def vouches(self) -> str:
        return "quiet, closed, every rank is there"

    def complete(self, candidate: Candidate, files: tuple[FoundFile, ...], look: Look) -> Verdict:
        why = self.lacking(candidate, {file.path: file for file in files})
        if why:
            return Broken(why) if look.exited_badly or look.ended_well else NotYet(why)
        if look.names is None:
            look = replace(look, quiet_s=look.quiet_s * FIRST_QUIET_FACTOR)
        return generic.complete(candidate, files, look)

    def stamped(self, path: str) -> bool:
        return path.endswith((*SUFFIXES, ".pkl"))

    def usual(self, step: int) -> str:
        return f"checkpoint_{step}"
