"""DeepSpeed's `global_step<N>/`: rank 0 names it in `latest`, beside it, when its own part is written.

The layout is known from DeepSpeed's source (`runtime/engine.py`: save_checkpoint, _get_zero_ckpt_name); it
was never run here, for DeepSpeed needs a compiler and mostly a GPU.
"""

from __future__ import annotations

import re
from pathlib import Path

from outlast.save.found import Candidate, FoundFile, Tracker
from outlast.save.kinds.marked import MarkedFolder, gap, text_of
from outlast.save.naming import number_of

LATEST = "latest"
MODEL_STATES = re.compile(r"(?:.*_)?(?:mp_rank|zero_pp_rank|layer)_\d+.*model_states\.pt")
ZERO_RANK = re.compile(r"(?:\w+_)?zero_pp_rank_(\d+)_mp_rank_(\d+)_optim_states\.pt")


class DeepSpeed(MarkedFolder):
    name = "deepspeed"

    def claims(self, folder: Path) -> bool:
        return any(
            MODEL_STATES.fullmatch(path.name) or ZERO_RANK.fullmatch(path.name) for path in folder.iterdir()
        )

    def lacking(self, candidate: Candidate, paths: dict[str, FoundFile]) -> str:
        said = text_of(candidate.at.parent / LATEST)
        if not said:
            return f"{LATEST} is not there, and it is written after the save"
        number, newest = number_of(candidate.at.name), number_of(said)
        passed = number is not None and newest is not None and newest >= number
        if said != candidate.at.name and not passed:
            return f"{LATEST} still names {said}"
        return zero_lacks(paths)

    def vouches(self) -> str:
        return f"{LATEST} names it or a later one, and no rank is missing"

    def stamped(self, path: str) -> bool:
        return path.endswith("_states.pt")

    def usual(self, step: int) -> str:
        return f"global_step{step}"

    def tracker(self, step: int, kind: str) -> Tracker | None:
        folder, _, name = self.place(step, kind).rpartition("/")
        return Tracker(f"{folder}/{LATEST}" if folder else LATEST, name.encode())


def zero_lacks(paths: dict[str, FoundFile]) -> str:
    """A rank whose optimizer part is not there though a higher one's is; a missing model; or ""."""
    names = [path.rsplit("/", 1)[-1] for path in paths]
    if not any(MODEL_STATES.fullmatch(name) for name in names):
        return "no *_model_states.pt is there yet"
    found = [match for match in map(ZERO_RANK.fullmatch, names) if match]
    for group in sorted({match[2] for match in found}):
        missing = gap({int(match[1]) for match in found if match[2] == group})
        if missing is not None:
            return f"the optimizer part of rank {missing} (mp_rank_{group}) is not there"
    return ""


def inner_lacks(at: Path, paths: dict[str, FoundFile], ranks: int | None = None) -> str:
    """The same for a folder with `latest` and `global_step<N>/` inside it; `ranks`: how many there are."""
    parts = {path: file for path, file in paths.items() if path.endswith("_states.pt")}
    if not parts and LATEST not in paths:
        return ""
    said = text_of(at / LATEST)
    if not said:
        return f"{LATEST} is not there, and it is written after DeepSpeed's part"
    mine = {path: file for path, file in parts.items() if path.startswith(said + "/")}
    if not mine:
        return f"{said}, which {LATEST} names, is not there"
    zero = [path for path in mine if ZERO_RANK.fullmatch(path.rsplit("/", 1)[-1])]
    if ranks is not None and zero and len(zero) < ranks:
        return f"{len(zero)} of {ranks} ranks have written their optimizer part"
    return zero_lacks(mine)
