"""A small network that Lightning trains: an ordinary script."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, IterableDataset


class Stream(IterableDataset):  # type: ignore[type-arg]
    """Endless batches, each drawn from its number. Lightning itself does not save which batches are over."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for number in count(self.first):
            draw = torch.Generator().manual_seed(number)
            yield torch.randn(8, 32, generator=draw), torch.randn(8, 1, generator=draw)


class Net(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(64, 1)
        )

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        inputs, targets = batch
        return torch.nn.functional.mse_loss(self.layers(inputs), targets)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


class Randomness(lightning.Callback):
    """Lightning saves no random states: with these a resumed run draws the same dropout masks."""

    state: torch.Tensor | None = None

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"torch": torch.get_rng_state()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.state = state["torch"]

    def on_train_batch_start(self, *_: object) -> None:
        if self.state is not None:
            torch.set_rng_state(self.state)
            self.state = None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--max_steps", type=int, default=200)
    parser.add_argument("--save_steps", type=int, default=20)
    parser.add_argument("--ckpt_path")
    options = parser.parse_args()

    lightning.seed_everything(7)
    saving = ModelCheckpoint(dirpath="checkpoints", every_n_train_steps=options.save_steps, save_last=True)
    trainer = lightning.Trainer(
        max_steps=options.max_steps,
        accelerator="auto",
        devices=1,
        callbacks=[saving, Randomness()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Net()
    stream = Stream(first=int(os.environ.get("OUTLAST_RESUME_STEP", "0")))
    # A generator of its own: a loader that is made anew then takes nothing from torch's random state.
    loader = DataLoader(stream, batch_size=None, generator=torch.Generator())
    trainer.fit(model, loader, ckpt_path=options.ckpt_path)
    Path("final").mkdir(exist_ok=True)
    torch.save(model.state_dict(), "final/model.pt")


if __name__ == "__main__":
    main()
