"""Five trainings at once that save into one folder: `everyone.py EXAMPLES [KIND PATH]`, run by its test.

Each is the example of its framework, or a loop as short, in a process of its own. The example of that kind
goes on from that path.
"""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate.accelerator import Accelerator

PACE = ["--max_steps", "100000", "--save_steps", "5"]
EXAMPLES = {
    "huggingface": ("hf_trainer", ["--output_dir", "checkpoints"], ["--resume_from_checkpoint"]),
    "lightning": ("lightning", [], ["--ckpt_path"]),
    "dcp": ("torch_dcp", [], []),
}


class Position:
    """The step, as Accelerate saves it."""

    def __init__(self) -> None:
        self.step = 0

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.step = state["step"]


def plain() -> None:
    """Numbered files of torch.save."""
    model = torch.nn.Linear(64, 64)
    optimizer = torch.optim.AdamW(model.parameters())
    for step in count(1):
        model(torch.randn(2, 64)).square().mean().backward()
        optimizer.step()
        if step % 20 == 0:
            body = {"model": model.state_dict(), "optimizer": optimizer.state_dict()["state"], "step": step}
            torch.save(body, f"checkpoints/model_{step}.pt")


def accelerated() -> None:
    """With names of its own: with automatic ones Accelerate deletes what its neighbours have saved."""
    accelerator: Any = Accelerator()
    model = torch.nn.Linear(64, 64)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters()))
    position = Position()
    accelerator.register_for_checkpointing(position)
    while True:
        position.step += 1
        accelerator.backward(model(torch.randn(2, 64)).square().mean())
        optimizer.step()
        if position.step % 25 == 0:
            accelerator.save_state(f"checkpoints/checkpoint_{position.step}")


def example(script: str, arguments: list[str]) -> None:
    sys.argv = ["train.py", *PACE, *arguments]
    runpy.run_path(script, run_name="__main__")


def main() -> None:
    folder, kind, path = Path(sys.argv[1]), *(*sys.argv[2:], "", "")[:2]
    os.environ.pop("OUTLAST_RESUME_FROM", None)
    step = os.environ.pop("OUTLAST_RESUME_STEP", "0")
    for train in (plain, accelerated):
        if os.fork() == 0:
            _end(train)
    for name, (script, arguments, option) in EXAMPLES.items():
        if os.fork() == 0:
            if name == kind:
                os.environ |= {"OUTLAST_RESUME_FROM": path, "OUTLAST_RESUME_STEP": step}
                arguments = [*arguments, *option, *([path] if option else [])]
            _end(partial(example, str(folder / script / "train.py"), arguments))
    _, code = os.wait()  # none of them ends by itself
    sys.exit(code or 1)


def _end(train: Callable[[], None]) -> NoReturn:
    try:
        train()
    finally:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
