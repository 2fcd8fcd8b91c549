"""Checkpoints for the tests: written as their frameworks would, in whole or in half."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from outlast.save.found import Found


def hugging_face(root: Path, step: int, *, until: str = "trainer_state.json") -> Path:
    """Writes a Trainer's folder in its order, as far as `until`."""
    folder = root / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    tensors = {"w": torch.full((8,), float(step))}
    writers: dict[str, Callable[[Path], object]] = {
        "config.json": lambda path: path.write_text("{}"),
        "model.safetensors": lambda path: save_file(tensors, path),
        "optimizer.pt": lambda path: torch.save({"state": tensors}, path),
        "rng_state.pth": lambda path: torch.save({"cpu": torch.get_rng_state()}, path),
        "trainer_state.json": lambda path: path.write_text(json.dumps({"global_step": step})),
    }
    for name, write in writers.items():
        write(folder / name)
        if name == until:
            break
    return folder


def steps_of(found: list[Found]) -> list[int]:
    return [one.step for one in found]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        os.path.relpath(path, folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }  # fmt: skip
