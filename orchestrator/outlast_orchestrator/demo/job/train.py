"""Trains a small GPT on the source text of Python's own standard library, on one CPU thread.

This is the user's program of the demo. Two lines of it know of Outlast: `Checkpointer(...)` with its
`restore`, and `step`. All else is there so that a stranger can check the claim "interrupted equals
uninterrupted": which bytes a step trains on is a function of (seed, step) alone, dropout draws from the
RNG that the checkpoint carries, and every step is written with a hash of the whole training state into a
file outside the machines (`DEMO_TRACK`), which Outlast neither reads nor knows.
"""

from __future__ import annotations

import hashlib
import json
import os
import sysconfig
import time
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from outlast import Checkpointer

SEED = 20_26
WIDTH, LAYERS, HEADS, CONTEXT, BATCH = 128, 4, 4, 64, 8
STEPS = int(os.environ.get("DEMO_STEPS", "180"))
SAVE_EVERY = int(os.environ.get("DEMO_SAVE_EVERY", "8"))
FAULTS_TO_COME = os.environ.get("DEMO_FAULTS_TO_COME", "")
STEP_S_MIN, LATE_STEP_S_MIN = 0.3, 1.5
TRACK = os.environ.get("DEMO_TRACK", "")
GENERATION = int(os.environ.get("OUTLAST_GENERATION", "0"))
TEXT_BYTES = 2_000_000


class Block(nn.Module):
    """Causal self-attention and a feed-forward layer, each with a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH), nn.Dropout(0.1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: (batch, context, width) → the same shape."""
        batch, context, _ = x.shape
        q, k, v = self.qkv(self.norm_1(x)).view(batch, context, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, context, WIDTH))
        mixed_in: torch.Tensor = x + self.mlp(self.norm_2(x))
        return mixed_in


class Gpt(nn.Module):
    """Predicts the next byte."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(256, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 256, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """`tokens`: (batch, context) of bytes → logits (batch, context, 256)."""
        x = self.token(tokens) + self.place(torch.arange(tokens.shape[1]))
        logits: torch.Tensor = self.head(self.norm(self.blocks(x)))
        return logits


def corpus() -> torch.Tensor:
    """The first two million bytes of the standard library's source, in the order of the file names."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    text = bytearray()
    for path in sorted(folder.glob("*.py")):
        text += path.read_bytes()
        if len(text) >= TEXT_BYTES:
            break
    return torch.frombuffer(text[:TEXT_BYTES], dtype=torch.uint8)


def batch_of(text: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets of one step: a function of (seed, step), whatever happened before."""
    generator = torch.Generator().manual_seed(SEED * 1_000_003 + step)
    starts = torch.randint(len(text) - CONTEXT - 1, (BATCH,), generator=generator)
    rows = torch.stack([text[start : start + CONTEXT + 1] for start in starts]).long()
    return rows[:, :-1], rows[:, 1:]


def state_hash(model: nn.Module, optimizer: torch.optim.Optimizer) -> str:
    """Over the bytes of every tensor that the next step depends on."""
    hasher = xxhash.xxh3_128()
    tensors: list[Any] = [model.state_dict()[name] for name in sorted(model.state_dict())]
    for _, values in sorted(optimizer.state_dict()["state"].items()):
        tensors += [values[name] for name in sorted(values)]
    for tensor in tensors:
        hasher.update(tensor.detach().contiguous().numpy().tobytes())
    hasher.update(torch.get_rng_state().numpy().tobytes())
    return hasher.hexdigest()


def track(kind: str, **values: Any) -> None:
    """Appends one line to the witness outside the machine; O_APPEND keeps lines of two processes apart."""
    if not TRACK:
        return
    line = json.dumps({"kind": kind, "generation": GENERATION, "at": time.time(), **values}) + "\n"
    descriptor = os.open(TRACK, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def step_s_min(step: int) -> float:
    """So short a training would end before the last fault: until that was played it is slow, most at its end.

    Slow, too, in the step after a save: a busy machine needs a while to upload it, and one of the faults
    comes in the middle of that. `DEMO_FAULTS_TO_COME` names a file that is there until then. Time is no
    part of the result.
    """
    if not FAULTS_TO_COME or not os.path.exists(FAULTS_TO_COME):
        return 0.0
    late = step >= STEPS * 2 // 3 or step % SAVE_EVERY == 0
    return LATE_STEP_S_MIN if late else STEP_S_MIN


def finish(model: nn.Module) -> None:
    """Leaves the final weights and a hash over their bytes in the outputs."""
    folder = Path("outputs")
    folder.mkdir(exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in sorted(model.state_dict().items())}
    digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in weights.values())).hexdigest()
    save_file(weights, folder / "final.safetensors")
    (folder / "final.json").write_text(json.dumps({"sha256": digest, "steps": STEPS}) + "\n")
    print(f"final weights: sha256 {digest}", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    text, model = corpus(), Gpt()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    checkpointer = Checkpointer(model=model, optimizer=optimizer, every=SAVE_EVERY)
    first = checkpointer.restore()
    track("start", step=first - 1, state=state_hash(model, optimizer))
    print(f"generation {GENERATION}: starting at step {first} of {STEPS}", flush=True)
    for step in range(first, STEPS):
        begun = time.monotonic()
        inputs, targets = batch_of(text, step)
        loss = functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        time.sleep(max(0.0, step_s_min(step) - (time.monotonic() - begun)))
        track("step", step=step, loss=loss.item(), state=state_hash(model, optimizer))
        if (step + 1) % 10 == 0:
            print(f"step {step} of {STEPS}: loss {loss.item():.4f}", flush=True)
        checkpointer.step(step, loss=loss.item())
    finish(model)


if __name__ == "__main__":
    main()
