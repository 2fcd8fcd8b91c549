"""A tiny Trainer run with a random model: trainer_script.py STEPS [RESUME_FROM]."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import torch
from transformers import Trainer, TrainingArguments

torch.set_num_threads(1)
STEP_S = 0.02  # a real step takes its time; else every checkpoint is rotated away within some milliseconds


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(64, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        time.sleep(STEP_S)
        out = self.layer(x)
        return {"loss": torch.nn.functional.mse_loss(out, labels), "logits": out}


def main() -> None:
    torch.manual_seed(0)
    data: Any = [{"x": torch.randn(64), "labels": torch.randn(1)} for _ in range(64)]
    arguments = TrainingArguments(
        output_dir=os.environ["OUTLAST_CHECKPOINT_DIR"],
        max_steps=int(sys.argv[1]),
        save_steps=5,
        save_total_limit=2,
        per_device_train_batch_size=4,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        logging_steps=5,
    )
    resume = sys.argv[2] if len(sys.argv) > 2 else None
    Trainer(model=Net(), args=arguments, train_dataset=data).train(resume_from_checkpoint=resume)


if __name__ == "__main__":
    main()
