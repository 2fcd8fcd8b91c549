"""Lightning: saves when the agent asks, at the end of that very step, and leaves on a notice."""

# ruff: noqa: ARG002  # the framework gives its callbacks more than ours needs

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from outlast import checkpoint_files, trainer_contract
from outlast.integrations.asking import Asking

LOG_EVERY_STEPS = 50  # Lightning's own default


class OutlastCallback(Callback):
    """`Trainer(…, callbacks=[OutlastCallback()])`; resume with
    `trainer.fit(…, ckpt_path=os.environ.get("OUTLAST_RESUME_FROM"))`.

    Saves that the agent asks for go to `outlast-step=<n>.ckpt` in `OUTLAST_CHECKPOINT_DIR` (or `dir`), beside
    those of a ModelCheckpoint. On a notice the step that is under way is saved and the process ends with
    code 0 (`outlast.Preempted`), before another step is trained.
    """

    def __init__(self, dir: str | Path | None = None) -> None:  # noqa: A002  # the word of the job file
        self._folder = Path(
            dir or os.environ.get(trainer_contract.CHECKPOINT_DIR) or "checkpoints"
        ).absolute()
        self._asking: Asking | None = None
        self._step = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._asking, self._step = Asking(), trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if self._asking is None or step == self._step:
            return  # gradients are being accumulated: a save would lose them
        self._step = step
        metrics: dict[str, float] = {}
        log_every = max(1, getattr(trainer, "log_every_n_steps", LOG_EVERY_STEPS))
        if self._asking.leads and step % log_every == 0:  # not at every step: reading them waits for a GPU
            metrics = {name: float(value) for name, value in trainer.logged_metrics.items()}
        if self._asking.at_step(step, metrics):
            self._asking.saved(step, str(self._save(trainer, step)))

    def _save(self, trainer: Trainer, step: int) -> Path:
        """Under another name first: Lightning itself writes in place. Raises OSError."""
        path = self._folder / f"outlast-step={step}.ckpt"
        unfinished = path.with_name(path.name + ".tmp")
        trainer.save_checkpoint(unfinished)  # with all ranks, and a barrier at its end
        if self._asking is not None and self._asking.leads:
            if unfinished.is_file():
                checkpoint_files.sync(unfinished)
            os.replace(unfinished, path)
            checkpoint_files.sync(self._folder)
        return path
