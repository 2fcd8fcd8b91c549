"""DeepSpeed's `global_step<N>/`: rank 0 names it in `latest`, beside it, when its own part is written.

The layout is known from DeepSpeed's source (`runtime/engine.py`: save_checkpoint, _get_zero_ckpt_name); it
was never run here, for DeepSpeed needs a compiler and mostly a GPU.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from outlast.save.found import Candidate, FoundFile, Tracker
from outlast.save.kinds.marked import MarkedFolder, gap, text_of
from outlast.save.naming import number_of
from outlast.save.pickled import NoPickle, stepped

LATEST = "latest"
MODEL_STATES = re.compile(r"(?:.*_)?(?:mp_rank|zero_pp_rank|layer)_\d+.*model_states\.pt")
RANKS = "dp_world_size"  # in a model's part: how many ranks have a part of the optimizer
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
        return zero_lacks(candidate.at, paths)

    def vouches(self) -> str:
        return f"{LATEST} names it or a later one, and no rank is missing"

    def stamped(self, path: str) -> bool:
        return path.endswith("_states.pt")

    def usual(self, step: int) -> str:
        return f"global_step{step}"

    def tracker(self, step: int, kind: str) -> Tracker | None:
        folder, _, name = self.place(step, kind).rpartition("/")
        return Tracker(f"{folder}/{LATEST}" if folder else LATEST, name.encode())


def zero_lacks(at: Path, paths: dict[str, FoundFile]) -> str:
    """A rank whose optimizer part is not there, a missing model, or "". `latest` does not wait for the other
    ranks: how many they are is in the model's part. Raises OSError."""
    names = [path.rsplit("/", 1)[-1] for path in paths]
    if not any(MODEL_STATES.fullmatch(name) for name in names):
        return "no *_model_states.pt is there yet"
    found = [match for match in map(ZERO_RANK.fullmatch, names) if match]
    ranks = _ranks(at, paths)
    behind = set() if ranks is None else {ranks}
    for group in sorted({match[2] for match in found}):
        missing = gap({int(match[1]) for match in found if match[2] == group} | behind)
        if missing is not None:
            return f"the optimizer part of rank {missing} (mp_rank_{group}) is not there"
    return ""


def _ranks(at: Path, paths: dict[str, FoundFile]) -> int | None:
    """How many share the optimizer, as a model's part says; None: none does. Raises OSError."""
    for path, file in sorted(paths.items()):
        if MODEL_STATES.fullmatch(path.rsplit("/", 1)[-1]):
            with suppress(NoPickle):
                ranks = stepped(at / path, file.stamp, RANKS, RANKS)
                if ranks is not None:
                    return ranks
    return None


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
    return zero_lacks(at, mine)
