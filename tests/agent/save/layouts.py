"""Small checkpoints in the layout of each framework, as a list of writes in the framework's own order.

Torch's own formats are written by torch. DeepSpeed's and Megatron's file names are taken from their sources
(deepspeed/runtime/engine.py, megatron/training/checkpointing.py): neither installs here without a GPU.
"""

from __future__ import annotations

import json
import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.distributed.checkpoint.state_dict_saver import save as save_distributed

Write = tuple[str, Callable[[Path], object]]  # a path in the checkpoint folder, and what writes it


def tensors(step: int) -> dict[str, torch.Tensor]:
    return {"w": torch.full((4, 4), float(step)), "b": torch.arange(4.0) + step}


def text(words: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(words)


def saved(value: object) -> Callable[[Path], object]:
    return lambda path: torch.save(value, path)


def distributed(step: int) -> Callable[[Path], object]:
    """Writes a folder. One process, as in a training on one GPU."""

    def put(path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # one process; an older save is there
            save_distributed(tensors(step), checkpoint_id=path, no_dist=True)

    return put


def _state(step: int) -> Callable[[Path], object]:
    return text(json.dumps({"global_step": step, "log_history": []}))


def _lightning(step: int) -> dict[str, Any]:
    """The keys and the order of a real one (test_frameworks.py has them)."""
    head = {"epoch": 0, "global_step": step, "pytorch-lightning_version": "2.6.1"}
    return {**head, "state_dict": tensors(step), "optimizer_states": []}


def hf_peft(step: int) -> list[Write]:
    at = f"checkpoint-{step}/"
    return [
        (at + "adapter_model.safetensors", lambda path: save_file(tensors(step), path)),
        (at + "adapter_config.json", text("{}")),
        (at + "training_args.bin", saved({})),
        (at + "optimizer.pt", saved(tensors(step))),
        (at + "scheduler.pt", saved({})),
        (at + "rng_state.pth", saved({})),
        (at + "trainer_state.json", _state(step)),
    ]


def hf_ranks(step: int) -> list[Write]:
    at = f"checkpoint-{step}/"
    return [
        (at + "config.json", text("{}")),
        (at + "model-00001-of-00002.safetensors", lambda path: save_file({"w": torch.ones(3)}, path)),
        (at + "model-00002-of-00002.safetensors", lambda path: save_file({"b": torch.ones(3)}, path)),
        (at + "model.safetensors.index.json", text(json.dumps({"weight_map": {
            "w": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}))),
        (at + "optimizer.pt", saved(tensors(step))),
        (at + "rng_state_1.pth", saved({})),
        (at + "trainer_state.json", _state(step)),
        (at + "rng_state_0.pth", saved({})),  # nothing makes the ranks wait for each other
    ]  # fmt: skip


def hf_fsdp(step: int) -> list[Write]:
    at = f"checkpoint-{step}/"
    return [
        (at + "training_args.bin", saved({})),
        (at + "pytorch_model_fsdp_0", distributed(step)),
        (at + "optimizer_0", distributed(step)),
        (at + "rng_state_0.pth", saved({})),
        (at + "trainer_state.json", _state(step)),
    ]


def _deepspeed_model(step: int) -> Callable[[Path], object]:
    """Of two ranks. The first one writes `latest` without waiting for the other."""
    return saved({"module": tensors(step), "dp_world_size": 2, "mp_world_size": 1})


def hf_deepspeed(step: int) -> list[Write]:
    at = f"checkpoint-{step}/"
    zero = "bf16_zero_pp_rank_{}_mp_rank_00_optim_states.pt"
    return [
        (at + "config.json", text("{}")),
        (at + f"global_step{step}/mp_rank_00_model_states.pt", _deepspeed_model(step)),
        (at + f"global_step{step}/" + zero.format(0), saved(tensors(step))),
        (at + "latest", text(f"global_step{step}")),
        (at + "rng_state_0.pth", saved({})),
        (at + "trainer_state.json", _state(step)),
        (at + f"global_step{step}/" + zero.format(1), saved(tensors(step))),
    ]


def lightning_file(step: int) -> list[Write]:
    return [(f"epoch=0-step={step}.ckpt", saved(_lightning(step)))]


def lightning_folder(step: int) -> list[Write]:
    at = f"epoch=0-step={step}.ckpt"
    return [(at, distributed(step)), (at + "/meta.pt", saved(_lightning(step)))]


def accelerate(step: int) -> list[Write]:
    at = f"checkpoint_{step}/"
    return [
        (at + "model.safetensors", lambda path: save_file(tensors(step), path)),
        (at + "optimizer.bin", saved(tensors(step))),
        (at + "scheduler.bin", saved({})),
        (at + "random_states_1.pkl", saved({"random_state": random.Random(step).getstate()})),
        (at + "random_states_0.pkl", saved({"random_state": random.Random(step).getstate()})),
    ]


def torch_dcp(step: int) -> list[Write]:
    return [(f"step-{step}", distributed(step))]


def torchtitan(step: int) -> list[Write]:
    at = f"step-{step}/"
    shard = "model-00001-of-00001.safetensors"
    return [
        (at + shard, lambda path: save_file({"w": torch.ones(3)}, path)),
        (at + "model.safetensors.index.json", text(json.dumps({"weight_map": {"w": shard}}))),
    ]


def deepspeed(step: int) -> list[Write]:
    at = f"global_step{step}/"
    return [
        (at + "mp_rank_00_model_states.pt", _deepspeed_model(step)),
        (at + "zero_pp_rank_0_mp_rank_00_optim_states.pt", saved(tensors(step))),
        ("latest", text(f"global_step{step}")),
        (at + "zero_pp_rank_1_mp_rank_00_optim_states.pt", saved(tensors(step))),
    ]


def megatron(step: int) -> list[Write]:
    at = f"iter_{step:07d}/"
    return [
        (at + "mp_rank_00/model_optim_rng.pt", saved(tensors(step))),
        (at + "mp_rank_01/model_optim_rng.pt", saved(tensors(step))),
        ("latest_checkpointed_iteration.txt", text(str(step))),
    ]


def plain_files(step: int) -> list[Write]:
    return [(f"model_{step}.pt", saved(tensors(step))), (f"optim_{step}.pt", saved(tensors(step)))]


def safetensors_folder(step: int) -> list[Write]:
    return [
        (f"step_{step}/model.safetensors", lambda path: save_file(tensors(step), path)),
        (f"step_{step}/state.json", text("{}")),
    ]


# name: (writes, kind, says itself when it is whole)
LAYOUTS: dict[str, tuple[Callable[[int], list[Write]], str, bool]] = {
    "hf-peft": (hf_peft, "huggingface", True),
    "hf-ranks": (hf_ranks, "huggingface", True),
    "hf-fsdp": (hf_fsdp, "huggingface", True),
    "hf-deepspeed": (hf_deepspeed, "huggingface", True),
    "lightning": (lightning_file, "lightning", True),
    "lightning-folder": (lightning_folder, "lightning-folder", True),
    "accelerate": (accelerate, "accelerate", False),
    "dcp": (torch_dcp, "dcp", True),
    "torchtitan": (torchtitan, "torchtitan", True),
    "deepspeed": (deepspeed, "deepspeed", True),
    "megatron": (megatron, "megatron", True),
    "plain-files": (plain_files, "torch-files", False),
    "safetensors-folder": (safetensors_folder, "torch-folder", False),
}


def write(root: Path, writes: list[Write]) -> None:
    for name, put in writes:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        put(root / name)


def cut(path: Path, share: float) -> None:
    """As a process leaves it that is killed in the middle of writing this file."""
    os.truncate(path, int(path.stat().st_size * share))
