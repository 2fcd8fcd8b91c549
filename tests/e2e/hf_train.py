"""A user's Hugging Face training script: it knows nothing of outlast. hf_train.py --max_steps N [--resume_…]

The model is small and random; its batches come in a shuffled order over several epochs. Dropout is 0 for one
reason: on SIGTERM the Trainer's own just-in-time save may run between the backward pass and the optimizer
step, and then it saves a random state that is half a step ahead of the weights. With dropout that step would
be trained again with other masks; it is the one thing here that Hugging Face can't repeat bit for bit.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

LENGTH, PIECES = 16, 96
LAST_ONES = 5
torch.set_num_threads(1)


class Pace(TrainerCallback):
    """Makes a step as slow as that of a real model, and writes it down where the test can see it. The last
    steps are slower still until the test gives its word, so that an interruption never comes too late."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if "TRACK" in os.environ:
            time.sleep(float(os.environ["STEP_S"]))
            with open(os.environ["TRACK"], "a") as track:
                track.write(f"{os.environ['OUTLAST_GENERATION']} {state.global_step}\n")
            slow_until_s = time.monotonic() + 5.0
            last_ones = state.global_step >= args.max_steps - LAST_ONES
            while last_ones and not os.path.exists(os.environ["GO"]) and time.monotonic() < slow_until_s:
                time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output_dir", default="checkpoints")
    parser.add_argument("--max_steps", type=int, required=True)
    parser.add_argument("--resume_from_checkpoint")
    options = parser.parse_args()
    set_seed(7)
    shape: dict[str, Any] = {
        "n_positions": LENGTH,
        "n_embd": 32,
        "n_layer": 1,
        "n_head": 2,
    }
    no_dropout: dict[str, Any] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=256, bos_token_id=0, eos_token_id=0, **shape, **no_dropout))
    pieces = torch.randint(0, 256, (PIECES, LENGTH), generator=torch.Generator().manual_seed(3))
    data: Any = [{"input_ids": piece, "labels": piece} for piece in pieces]
    arguments = TrainingArguments(
        output_dir=options.output_dir,
        max_steps=options.max_steps,
        per_device_train_batch_size=4,
        save_steps=20,
        logging_steps=10,
        report_to=[],
        disable_tqdm=True,
        seed=7,
        use_cpu=True,
        enable_jit_checkpoint=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=data, callbacks=[Pace()])
    trainer.train(resume_from_checkpoint=options.resume_from_checkpoint)
    if trainer.state.global_step >= options.max_steps:
        trainer.save_model("final")


if __name__ == "__main__":
    main()
