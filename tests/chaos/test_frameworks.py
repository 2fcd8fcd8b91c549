"""Real frameworks, each killed at random again and again, run by the example of its job file.

Every resume is from a whole checkpoint, all of whose files are of one step; in the end the weights are bit
for bit those of a run that never was interrupted. `OUTLAST_KILLS=30` (make soak) kills each of them as often.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.chaos.framework_rig import LIFE_MAX_S, LIMIT_S, STEP_S, Node
from tests.servers.forking import Zygote, zygote_of
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

KILLS = int(os.environ.get("OUTLAST_KILLS", "4"))
SEED = int(os.environ.get("OUTLAST_KILL_SEED", "1"))
STEPS_BESIDES = 40
STEP_LIMIT_S = 0.5  # of a real trainer on a machine that others use as well


def _load(path: Path) -> Any:
    return torch.load(path, weights_only=False)


def _moments(optimizer: Any) -> set[int]:
    return {int(entry["step"]) for entry in optimizer["state"].values()}


def _trainer_steps(folder: Path) -> set[int]:
    steps = {json.loads((folder / "trainer_state.json").read_text())["global_step"]}
    from transformers.trainer_utils import get_last_checkpoint  # takes seconds: not in every worker

    last: Any = get_last_checkpoint(str(folder.parent))  # type: ignore[no-untyped-call]
    assert Path(last) == folder, "the Trainer itself would resume from another one"
    assert (folder / "rng_state.pth").stat().st_size
    return steps | _moments(_load(folder / "optimizer.pt")) | {_load(folder / "scheduler.pt")["last_epoch"]}


def _lightning_steps(file: Path) -> set[int]:
    body = _load(file)
    return {body["global_step"]} | _moments(body["optimizer_states"][0])


def _accelerate_steps(folder: Path) -> set[int]:
    return {_load(folder / "custom_checkpoint_0.pkl")["step"]} | _moments(_load(folder / "optimizer.bin"))


def _distributed_steps(folder: Path) -> set[int]:
    together = folder.parent.parent / "together.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one process
        dcp_to_torch_save(folder, together)
    body = _load(together)
    return {int(body["step"])} | _moments({"state": body["optimizer"]})


def _plain_steps(file: Path) -> set[int]:
    body = _load(file)
    return {body["step"]} | _moments(body["optimizer"])


@dataclass(frozen=True)
class Framework:
    example: str
    imports: str
    steps: Callable[[Path], set[int]]  # of each file of what is resumed from
    final: str
    kind: str
    pace: str = "--save_steps 5"
    quiet_s: float = 0.05
    life_max_s: float = LIFE_MAX_S


# Frameworks that load the same share a process to be forked from.
TRANSFORMERS = "import accelerate, peft; from transformers import GPT2Config, GPT2LMHeadModel, Trainer"
TORCH = "import torch._dynamo, torch.distributed.checkpoint, torch.optim, torch.utils.data"
FRAMEWORKS = {
    "hf-trainer": Framework(
        "hf_trainer", TRANSFORMERS, _trainer_steps, "model.safetensors", "huggingface"
    ),
    "hf-lora": Framework(
        "hf_lora", TRANSFORMERS, _trainer_steps, "adapter_model.safetensors", "huggingface"
    ),
    "accelerate": Framework(
        "accelerate", TRANSFORMERS, _accelerate_steps, "model.pt", "accelerate",
        "--save_steps 25", quiet_s=0.15, life_max_s=2.0,
    ),
    "lightning": Framework(
        "lightning", "import lightning.pytorch.callbacks", _lightning_steps, "model.pt", "lightning",
    ),
    "dcp": Framework(
        "torch_dcp", TORCH, _distributed_steps, "model.pt", "dcp"
    ),
    "torch-save": Framework(
        "torch_save", TORCH, _plain_steps, "model.pt", "torch-files", "--save_steps 15"
    ),
}  # fmt: skip


def _weights(final: Path) -> str:
    tensors = load_file(final) if final.suffix == ".safetensors" else _load(final)
    return hashlib.sha256(
        b"".join(tensors[name].contiguous().numpy().tobytes() for name in sorted(tensors))
    ).hexdigest()


class Checked(Node):
    """Looks at every resume point before it is given to the trainer."""

    steps: Callable[[Path], set[int]]
    kinds: set[str]
    true_steps: list[int]

    def start(self, resume: Any, step_s: float) -> int:
        if resume.path:
            steps = self.steps(Path(resume.path))
            assert len(steps) == 1, f"{resume.path} is of steps {steps}\n{self.story()}"
            assert resume.manifest is not None
            self.kinds.add(resume.manifest.kind.partition(":")[0])
            self.true_steps.append(*steps)
        return super().start(resume, step_s)


def _node(folder: Path, one: Framework, zygote: Zygote, steps: int) -> Checked:
    node = Checked(folder, one.example, f"--max_steps {steps} {one.pace}", one.quiet_s, zygote)
    node.life_max_s, node.limit_s = one.life_max_s, LIMIT_S + steps * STEP_LIMIT_S
    node.steps, node.kinds, node.true_steps = one.steps, set(), []
    node.fresh()
    return node


@pytest.fixture(scope="module")
def zygotes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Zygote]]:
    with ExitStack() as stack:

        @functools.cache
        def of(imports: str) -> Zygote:
            return stack.enter_context(zygote_of(imports, tmp_path_factory.mktemp("zygote")))

        yield of


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_killed_at_random_it_resumes_only_from_whole_ones_and_ends_bit_for_bit_the_same(
    tmp_path: Path, name: str, zygotes: Callable[[str], Zygote]
) -> None:
    one, dice = FRAMEWORKS[name], random.Random(f"{name} {SEED}")
    steps = int(KILLS * one.life_max_s / STEP_S) + STEPS_BESIDES  # more than its lives can train
    zygote = zygotes(one.imports)
    undisturbed = _node(tmp_path / "undisturbed", one, zygote, steps)
    assert not undisturbed.live(None)
    node = _node(tmp_path / "killed", one, zygote, steps)
    for _ in range(KILLS):
        assert node.live(dice), f"it ended before it was killed\n{node.story()}"
        if dice.random() < 0.5:
            node.fresh()
    assert not node.live(None)
    assert len(node.resumed) == KILLS + 1
    assert node.true_steps, f"nothing was ever resumed from\n{node.story()}"
    assert node.true_steps == sorted(node.true_steps), "it went back"
    assert node.kinds == {one.kind}
    final = Path("work/final") / one.final
    assert _weights(node.folder / final) == _weights(undisturbed.folder / final), node.story()
    print(f"{name}: {KILLS} kills, resumed at {node.true_steps}, {len(node.durable.refs)} checkpoints")
