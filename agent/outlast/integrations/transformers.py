"""Hugging Face Trainer: saves when the agent asks, at the end of that very step, and leaves on a notice."""

# ruff: noqa: ARG002  # the framework gives its callbacks more than ours needs

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from outlast.integrations.asking import Asking
from outlast.training import contact


class OutlastCallback(TrainerCallback):
    """`Trainer(…, callbacks=[OutlastCallback()])`; nothing else changes.

    The Trainer's own saves and its own rhythm stay as they are. On a notice the step that is under way is
    saved and the process ends with code 0 (`outlast.Preempted`), before another step is trained.
    """

    def __init__(self) -> None:
        self._asking: Asking | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._asking = Asking()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        assert self._asking is not None
        if self._asking.at_step(state.global_step, {}):
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._asking is not None:
            folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            self._asking.saved(state.global_step, str(folder.absolute()))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if state.is_world_process_zero:
            numbers = {name: value for name, value in (logs or {}).items() if isinstance(value, (int, float))}
            contact().log(state.global_step, numbers)
