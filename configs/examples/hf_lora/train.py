"""A small GPT-2 that gets a LoRA adapter from the Hugging Face Trainer: an ordinary script."""

from __future__ import annotations

import argparse

import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

LENGTH, PIECES = 16, 96


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output_dir", default="checkpoints")
    parser.add_argument("--max_steps", type=int, default=200)
    parser.add_argument("--save_steps", type=int, default=20)
    parser.add_argument("--resume_from_checkpoint")
    options = parser.parse_args()

    set_seed(7)  # stands for the pretrained base: it must be the same in every attempt
    base = GPT2LMHeadModel(GPT2Config(vocab_size=256, n_positions=LENGTH, n_embd=32, n_layer=1, n_head=2))
    # A Conv1D, as in GPT-2, stores its weights the other way round.
    adapter = LoraConfig(r=4, target_modules=["c_attn"], lora_dropout=0.1, fan_in_fan_out=True)
    model = get_peft_model(base, adapter)
    pieces = torch.randint(0, 256, (PIECES, LENGTH), generator=torch.Generator().manual_seed(3))
    arguments = TrainingArguments(
        output_dir=options.output_dir,
        max_steps=options.max_steps,
        per_device_train_batch_size=4,
        save_steps=options.save_steps,
        save_total_limit=3,
        logging_steps=10,
        report_to=[],
        disable_tqdm=True,
        label_names=["labels"],
        seed=7,
        use_cpu=not torch.cuda.is_available(),
        enable_jit_checkpoint=True,
    )
    data = [{"input_ids": piece, "labels": piece} for piece in pieces]
    trainer = Trainer(model=model, args=arguments, train_dataset=data)
    trainer.train(resume_from_checkpoint=options.resume_from_checkpoint)
    if trainer.state.global_step >= options.max_steps:
        trainer.save_model("final")


if __name__ == "__main__":
    main()
