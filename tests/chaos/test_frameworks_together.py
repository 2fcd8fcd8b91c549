"""Real frameworks that write into one watched folder at the same time, killed at random.

Every resume is whole, of one kind and of one step: nothing of a neighbour's save gets into it.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.framework_rig import EXAMPLES, Node
from tests.chaos.test_frameworks import (
    KILLS,
    SEED,
    TORCH,
    TRANSFORMERS,
    _accelerate_steps,
    _distributed_steps,
    _lightning_steps,
    _load,
    _moments,
    _trainer_steps,
)
from tests.servers.forking import Zygote, zygote_of

from outlast.gang import Meeting
from outlast.launch import trainer_order
from outlast.node_ports import Places, SaveLook
from outlast.view import Identity

EVERYONE = Path(__file__).with_name("everyone.py")
IMPORTS = f"{TRANSFORMERS}; import lightning.pytorch.callbacks; {TORCH}"
QUIET_S = 0.05
NAMES = {"checkpoint-#", "epoch=#-step=#.ckpt", "checkpoint_#", "step-#", "model_#.pt"}
LIVES_MAX = 4  # for each that leaves something to resume from


def _numbered_steps(file: Path) -> set[int]:
    body = _load(file)
    return {body["step"]} | _moments({"state": body["optimizer"]})


STEPS = {
    "huggingface": _trainer_steps,
    "lightning": _lightning_steps,
    "accelerate": _accelerate_steps,
    "dcp": _distributed_steps,
    "torch-files": _numbered_steps,
}


def _group(leader: int) -> tuple[int, ...]:
    """The living processes of that process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue  # it has just ended
        if int(group) == leader and state != "Z":
            found.append(int(stat.parent.name))
    return tuple(found)


class Together(Node):
    def __init__(self, folder: Path, zygote: Zygote) -> None:
        super().__init__(folder, "torch_save", "", QUIET_S, zygote)
        self.kinds: list[str] = []
        self.wrote: set[str] = set()  # names in the folder since the start, their numbers put aside

    def fresh(self) -> None:
        shutil.rmtree(self.work_dir, ignore_errors=True)
        self.root.mkdir(parents=True)

    def start(self, resume: Any, step_s: float) -> int:
        kind = ""
        self.wrote = set()
        if resume.path:
            kind = resume.manifest.kind.partition(":")[0]
            steps = STEPS[kind](Path(resume.path))
            assert len(steps) == 1, f"{resume.path} is of steps {steps}\n{self.story()}"
            assert steps == {resume.step}, f"{resume.path} is of steps {steps}, not {resume.step}"
            parts = {file.path.split("/")[0] for file in resume.manifest.files}
            assert kind not in ("lightning", "torch-files") or len(parts) == 1, parts
            self.kinds.append(kind)
        places = Places(str(self.work_dir), str(self.root), str(self.folder / "attempt"))
        identity = Identity("j0b", "own", "i", "b")
        order = trainer_order(identity, self.work, self.generation, places, resume, Meeting())
        argv = [str(EVERYONE), str(EXAMPLES), kind, resume.path]
        return self.zygote.fork(argv, {**order.env, "STEP_S": str(step_s)}, self.work_dir, self.log)

    def may_be_killed(self) -> bool:
        """Not before there is something of each of them."""
        self.wrote |= {re.sub(r"\d+", "#", path.name) for path in self.root.iterdir()}
        return self.wrote >= NAMES

    def look(self, saves: Any, pid: int, look: SaveLook | None = None) -> bool:
        while look is not None and _group(pid):
            os.sched_yield()  # killed, and not all of them dead yet
        return super().look(saves, pid, look or SaveLook(pids=_group(pid)))


@pytest.mark.slow
def test_every_resume_is_whole_and_of_one_kind_and_step(tmp_path: Path) -> None:
    dice = random.Random(f"together {SEED}")
    with zygote_of(IMPORTS, tmp_path) as zygote:
        node = Together(tmp_path / "together", zygote)
        node.life_max_s, node.limit_s = 1.0, 300.0
        node.fresh()
        lives = 0
        while len(node.kinds) < KILLS:
            lives += 1
            assert lives <= KILLS * LIVES_MAX, f"hardly anything is resumed from\n{node.story()}"
            assert node.live(dice), f"it ended before it was killed\n{node.story()}"
            if dice.random() < 0.5:
                node.fresh()
    print(f"{lives} lives, resumed from {node.kinds}, {len(node.durable.refs)} checkpoints")
