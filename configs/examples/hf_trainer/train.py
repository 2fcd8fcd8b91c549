"""A tiny GPT-2 that the Hugging Face Trainer trains on the Python standard library's own source."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

LENGTH = 64


class Bytes(Dataset):  # type: ignore[type-arg]
    """The text, cut into pieces of LENGTH bytes; a byte is a token."""

    def __init__(self) -> None:
        files = sorted(Path(os.__file__).parent.glob("*.py"))[:40]
        text = b"".join(file.read_bytes() for file in files)
        self.pieces = torch.frombuffer(bytearray(text), dtype=torch.uint8).split(LENGTH)[:-1]

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        piece = self.pieces[index].long()
        return {"input_ids": piece, "labels": piece}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output_dir", default="checkpoints")
    parser.add_argument("--max_steps", type=int, default=200)
    parser.add_argument("--save_steps", type=int, default=20)
    parser.add_argument("--resume_from_checkpoint")
    options = parser.parse_args()

    model = GPT2LMHeadModel(GPT2Config(vocab_size=256, n_positions=LENGTH, n_embd=64, n_layer=2, n_head=2))
    arguments = TrainingArguments(
        output_dir=options.output_dir,
        max_steps=options.max_steps,
        per_device_train_batch_size=8,
        save_steps=options.save_steps,
        save_total_limit=3,
        logging_steps=10,
        report_to=[],
        seed=0,
        use_cpu=not torch.cuda.is_available(),
        enable_jit_checkpoint=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=Bytes())
    trainer.train(resume_from_checkpoint=options.resume_from_checkpoint)
    if trainer.state.global_step >= options.max_steps:
        trainer.save_model("final")


if __name__ == "__main__":
    main()
