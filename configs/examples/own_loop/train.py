"""A small model in a loop of its own, which goes on where the last machine stopped."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import outlast


def loader(seed: int) -> DataLoader[tuple[torch.Tensor, ...]]:
    dice = torch.Generator().manual_seed(seed)
    inputs = torch.randn(4096, 32, generator=dice)
    targets = inputs.sin().sum(dim=1, keepdim=True)
    return DataLoader(TensorDataset(inputs, targets), batch_size=32, shuffle=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2000)
    steps: int = parser.parse_args().steps

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    checkpointer = outlast.Checkpointer(model=model, optimizer=optimizer)
    step = checkpointer.restore()  # the next step to do: 0 on a fresh start
    data = loader(seed=0)
    while step < steps:
        for inputs, targets in checkpointer.batches(data):  # goes on after the last batch that was consumed
            loss = functional.mse_loss(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            checkpointer.step(step, loss=loss.item())  # saves when it is time to, and leaves when it must
            step += 1
            if step == steps:
                break

    Path("final").mkdir(exist_ok=True)
    torch.save(model.state_dict(), "final/model.pt")
    outlast.done()  # finished for good: nothing is left to train


if __name__ == "__main__":
    main()
