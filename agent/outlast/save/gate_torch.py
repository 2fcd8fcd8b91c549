"""Looks for NaN and infinity in torch files: a process of its own, never imported by the agent.

Run with the trainer's interpreter: `python -c <this text> LIMIT_BYTES FILE…`; prints one JSON line a
file. Only `weights_only=True` is used: nothing that a pickle names is ever called.
"""

import json
import os
import pickle
import re
import sys
from typing import Any

import torch

SAMPLES = 64


def tensors_in(value: Any, name: str) -> Any:
    """(name, tensor) for every tensor in nested dicts, lists and tuples."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from tensors_in(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from tensors_in(item, f"{name}.{index}" if name else str(index))


def is_bad(tensor: Any, share: float) -> bool:
    flat = tensor.detach().reshape(-1)
    if share < 1.0 and flat.numel() > SAMPLES:
        length = max(1, int(flat.numel() * share / SAMPLES))
        starts = [index * (flat.numel() // SAMPLES) for index in range(SAMPLES)]
        return any(not bool(torch.isfinite(flat[start : start + length]).all()) for start in starts)
    return not bool(torch.isfinite(flat).all())


def examine(path: str, limit_bytes: int) -> dict[str, Any]:
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
    ) as error:
        return {"unexamined": (str(error).strip() or type(error).__name__).splitlines()[0][:120]}
    found = [
        (name, tensor)
        for name, tensor in tensors_in(value, "")
        if tensor.is_floating_point() and tensor.layout == torch.strided and tensor.device.type == "cpu"
    ]
    total = sum(tensor.numel() * tensor.element_size() for _, tensor in found)
    share = 1.0 if total <= limit_bytes else limit_bytes / total
    bad = sorted({re.sub(r"\d+", "#", name) for name, tensor in found if is_bad(tensor, share)})
    return {"tensors": len(found), "sampled": share < 1.0, "not_finite": bad}


def main() -> None:
    os.nice(19)
    torch.set_num_threads(1)
    for path in sys.argv[2:]:
        sys.stdout.write(json.dumps(examine(path, int(sys.argv[1]))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
