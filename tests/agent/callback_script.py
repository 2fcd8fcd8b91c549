"""A small real training with a framework and our callback, run by the tests: FRAMEWORK STEPS [ASK_AT].

At step ASK_AT the script plays the agent that has a notice.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import torch

from outlast import trainer_contract as contract

torch.set_num_threads(1)


def ask() -> None:
    request = contract.SaveRequest("r", final=True, why="the market")
    Path(os.environ[contract.SAVE_REQUEST]).write_bytes(contract.request_bytes(request))


def rows() -> Any:
    chance = torch.Generator().manual_seed(1)
    return [
        {"x": torch.randn(8, generator=chance), "labels": torch.randn(1, generator=chance)} for _ in range(64)
    ]


class Loader:
    """Knows its position: Lightning begins the epoch anew with a loader that does not."""

    def __init__(self) -> None:
        self._rows, self._at = rows(), 0

    def __len__(self) -> int:
        return len(self._rows) // 4

    def __iter__(self) -> Any:
        while self._at < len(self):
            self._at += 1
            yield torch.utils.data.default_collate(self._rows[4 * self._at - 4 : 4 * self._at])
        self._at = 0

    def state_dict(self) -> dict[str, int]:
        return {"at": self._at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._at = state["at"]


def told(model: torch.nn.Module) -> None:
    digest = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()
    Path(os.environ["RESULT"]).write_text(digest)


def hugging_face(steps: int, ask_at: int) -> None:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from outlast.integrations.transformers import OutlastCallback

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(8, 1)

        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            out = torch.nn.functional.dropout(self.layer(x), 0.2, self.training)
            return {"loss": torch.nn.functional.mse_loss(out, labels), "logits": out}

    class Notice(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step + 1 == ask_at:
                ask()

    torch.manual_seed(0)
    arguments = TrainingArguments(
        output_dir=os.environ[contract.CHECKPOINT_DIR], max_steps=steps, save_steps=50, logging_steps=2,
        per_device_train_batch_size=4, use_cpu=True, report_to=[], disable_tqdm=True, seed=5,
    )  # fmt: skip
    model = Net()
    trainer = Trainer(
        model=model, args=arguments, train_dataset=rows(), callbacks=[OutlastCallback(), Notice()]
    )
    trainer.train(resume_from_checkpoint=os.environ.get(contract.RESUME_FROM))
    told(model)


def lightning(steps: int, ask_at: int) -> None:
    import lightning.pytorch as pl

    from outlast.integrations.lightning import OutlastCallback

    class Net(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(8, 1)

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            if self.global_step + 1 == ask_at:
                ask()
            loss = torch.nn.functional.mse_loss(self.layer(batch["x"]), batch["labels"])
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=1e-2)

    torch.manual_seed(0)
    trainer = pl.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, log_every_n_steps=2,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[OutlastCallback()],
    )  # fmt: skip
    model = Net()
    trainer.fit(model, Loader(), ckpt_path=os.environ.get(contract.RESUME_FROM))
    told(model)


if __name__ == "__main__":
    play = {"transformers": hugging_face, "lightning": lightning}[sys.argv[1]]
    play(int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
