"""Megatron's `iter_0000100/`: `latest_checkpointed_iteration.txt`, beside it, is written when all is saved.

The layout is known from Megatron-LM's source (`megatron/training/checkpointing.py`); it was never run here,
for Megatron needs GPUs.
"""

from __future__ import annotations

import re
from pathlib import Path

from outlast.save.found import Candidate, FoundFile, Tracker
from outlast.save.kinds.dcp import dcp_lacks
from outlast.save.kinds.marked import MarkedFolder, text_of

TRACKER = "latest_checkpointed_iteration.txt"
FOLDER = re.compile(r"iter_(\d{7,})")


class Megatron(MarkedFolder):
    name = "megatron"

    def claims(self, folder: Path) -> bool:
        return FOLDER.fullmatch(folder.name) is not None and any(folder.iterdir())

    def lacking(self, candidate: Candidate, paths: dict[str, FoundFile]) -> str:
        said = text_of(candidate.at.parent / TRACKER)
        if not said.isdigit():
            return f"{TRACKER} names no iteration, and it is written after the save"
        if candidate.step is None or int(said) < candidate.step:
            return f"{TRACKER} is still at {said}"
        return dcp_lacks(candidate.at, paths)

    def vouches(self) -> str:
        return f"{TRACKER} has reached it"

    def stamped(self, path: str) -> bool:
        return bool(path)

    def usual(self, step: int) -> str:
        return f"iter_{step:07d}"

    def tracker(self, step: int, kind: str) -> Tracker | None:
        folder, _, _ = self.place(step, kind).rpartition("/")
        return Tracker(f"{folder}/{TRACKER}" if folder else TRACKER, str(step).encode())
