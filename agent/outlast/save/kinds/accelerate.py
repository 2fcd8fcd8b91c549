"""Accelerate's `save_state` folder: no marker, so the generic rule judges, helped by the ranks and shards.

Every rank writes `random_states_<rank>.pkl` after the weights; objects that the script registered follow.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from outlast.save import generic
from outlast.save.found import Broken, Candidate, FoundFile, Look, NotYet, Verdict
from outlast.save.kinds.dcp import dcp_lacks
from outlast.save.kinds.huggingface import missing_shard
from outlast.save.kinds.marked import MarkedFolder, gap, holds
from outlast.save.naming import SUFFIXES

AUTOMATIC = re.compile(r"checkpoint_\d+")
RANDOM_STATES = re.compile(r"random_states_(\d+)\.pkl")
OWN = ("optimizer.bin", "scheduler.bin", "random_states_0.pkl", "sampler.bin")
FIRST_QUIET_FACTOR = 3  # nothing to compare the first one with: it is waited for longer


class Accelerate(MarkedFolder):
    name = "accelerate"
    strong = False

    def claims(self, folder: Path) -> bool:
        if holds(folder, *OWN):
            return not holds(folder, "trainer_state.json", "training_args.bin")
        return AUTOMATIC.fullmatch(folder.name) is not None and any(folder.iterdir())

    def lacking(self, candidate: Candidate, paths: dict[str, FoundFile]) -> str:
        ranks = {int(match[1]) for match in map(RANDOM_STATES.fullmatch, paths) if match}
        if not ranks:
            return "random_states_0.pkl is not there, and it is written after the weights"
        missing = gap(ranks)
        if missing is not None:
            return f"random_states_{missing}.pkl is not there"
        return missing_shard(candidate.at, paths) or dcp_lacks(candidate.at, paths)

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
