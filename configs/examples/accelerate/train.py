"""A loop of one's own with Accelerate, which saves and loads its states."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, set_seed
from torch.utils.data import DataLoader, TensorDataset


class Position:
    """Where the loop stands; Accelerate saves it with the rest."""

    def __init__(self) -> None:
        self.epoch, self.batch, self.step = 0, 0, 0

    def state_dict(self) -> dict[str, int]:
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, int]) -> None:
        vars(self).update(state)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--max_steps", type=int, default=200)
    parser.add_argument("--save_steps", type=int, default=20)
    options = parser.parse_args()

    # Accelerate numbers its saves: checkpoints/checkpoint_0, _1, …
    project = ProjectConfiguration(project_dir=".", automatic_checkpoint_naming=True, total_limit=3)
    accelerator = Accelerator(project_config=project)
    set_seed(7)
    draw = torch.Generator().manual_seed(3)
    data = TensorDataset(torch.randn(256, 32, generator=draw), torch.randn(256, 1, generator=draw))
    model = torch.nn.Sequential(
        torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(64, 1)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    # With a generator of its own a loader that is made anew takes nothing from torch's random state.
    loader = DataLoader(data, batch_size=8, generator=torch.Generator())
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    position = Position()
    accelerator.register_for_checkpointing(position)
    resume = os.environ.get("OUTLAST_RESUME_FROM")
    if resume:
        accelerator.load_state(resume)
        project.iteration = int(resume.rpartition("_")[2]) + 1
    while position.step < options.max_steps:
        skipped = accelerator.skip_first_batches(loader, position.batch)
        for inputs, targets in skipped:
            loss = torch.nn.functional.mse_loss(model(inputs), targets)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            position.step, position.batch = position.step + 1, position.batch + 1
            if position.step % options.save_steps == 0:
                accelerator.save_state()
            if position.step >= options.max_steps:
                break
        else:
            position.epoch, position.batch = position.epoch + 1, 0
    Path("final").mkdir(exist_ok=True)
    torch.save(accelerator.unwrap_model(model).state_dict(), "final/model.pt")


if __name__ == "__main__":
    main()
