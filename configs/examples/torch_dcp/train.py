"""A loop of one's own that saves with torch.distributed.checkpoint, on one process or many."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp

KEEP = 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--max_steps", type=int, default=200)
    parser.add_argument("--save_steps", type=int, default=20)
    options = parser.parse_args()

    torch.manual_seed(7)
    model = torch.nn.Sequential(
        torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(64, 1)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def state(step: int) -> dict[str, Any]:
        return {
            "model": model.state_dict(),
            "optimizer": {str(number): entry for number, entry in optimizer.state_dict()["state"].items()},
            "random": torch.get_rng_state(),
            "step": torch.tensor(step),
        }

    def train() -> None:
        inputs, targets = torch.randn(8, 32), torch.randn(8, 1)
        torch.nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

    step = 0
    resume = os.environ.get("OUTLAST_RESUME_FROM")
    if resume:
        train()  # makes the optimizer's moments, which are then read into
        loaded = state(0)
        dcp.load(loaded, checkpoint_id=resume)
        optimizer.load_state_dict(
            {
                "state": {int(number): entry for number, entry in loaded["optimizer"].items()},
                "param_groups": optimizer.state_dict()["param_groups"],
            }
        )
        step = int(loaded["step"])
        torch.set_rng_state(loaded["random"])
    root = Path(os.environ.get("OUTLAST_CHECKPOINT_DIR", "checkpoints"))
    while step < options.max_steps:
        train()
        step += 1
        if step % options.save_steps == 0:
            dcp.save(state(step), checkpoint_id=root / f"step-{step}")
            for old in sorted(root.glob("step-*"), key=lambda path: int(path.name[5:]))[:-KEEP]:
                shutil.rmtree(old)
    Path("final").mkdir(exist_ok=True)
    torch.save(model.state_dict(), "final/model.pt")


if __name__ == "__main__":
    main()
