"""A loop of one's own that overwrites one file with torch.save."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--max_steps", type=int, default=200)
    parser.add_argument("--save_steps", type=int, default=20)
    parser.add_argument("--resume")
    options = parser.parse_args()

    torch.manual_seed(7)
    model = torch.nn.Sequential(
        torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(64, 1)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    step = 0
    if options.resume:
        state = torch.load(options.resume, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        step = state["step"]
    Path("checkpoints").mkdir(exist_ok=True)
    while step < options.max_steps:
        inputs, targets = torch.randn(8, 32), torch.randn(8, 1)
        torch.nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step % options.save_steps == 0:
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "random": torch.get_rng_state(),
                "step": step,
            }
            torch.save(state, "checkpoints/last.pt")
    Path("final").mkdir(exist_ok=True)
    torch.save(model.state_dict(), "final/model.pt")


if __name__ == "__main__":
    main()
