"""The training's tensors lie in the arena bit for bit, whatever their types, places and shapes."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load

from outlast.integrations.torch_staging import DTYPES, Staging
from outlast.writing.arena import Arena

ROWS, COLUMNS = 300, 704


def noise(size: int, dtype: torch.dtype, skip: int = 0) -> torch.Tensor:
    """Random bits, NaN of every kind among them; `skip`: bytes before it in its storage."""
    values = torch.randint(0, 256, (skip + size * dtype.itemsize,), dtype=torch.uint8)
    return (values % 2 if dtype is torch.bool else values)[skip:].view(dtype)


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(-1).view(torch.uint8)


def staged(staging: Staging, arena: Arena, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    saved: dict[str, torch.Tensor] = {}
    for file in staging.stage(tensors, {}, {"state.json": b"{}"}):
        assert arena.memory is not None
        body = arena.memory[file.offset : file.offset + file.size]
        if file.name == "state.json":
            assert body == b"{}"
        else:
            saved |= load(body)
    return saved


def of_every_shape(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    base = noise(ROWS * COLUMNS, dtype).view(ROWS, COLUMNS)
    return {
        "whole": base,
        "turned": base.T,
        "part": base[7:9, ::3],
        "view": base[3:],
        "ragged": noise(ROWS * COLUMNS + 1, dtype),
        "off": noise(ROWS * COLUMNS, dtype, dtype.itemsize),
        "channels last": base.view(2, 11, 100, -1).contiguous(memory_format=torch.channels_last),
        "repeated": base[0].expand(5, COLUMNS),
        "no dimension": noise(1, dtype).view(()),
        "nothing": base[:0],
        "few": noise(3, dtype),
    }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_bit_of_every_type_and_shape(dtype: torch.dtype) -> None:
    arena = Arena()
    staging = Staging(arena)
    for _ in range(2):  # the second into places that are there already
        tensors = of_every_shape(dtype)
        saved = staged(staging, arena, tensors)
        assert saved.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert (saved[name].dtype, saved[name].shape) == (dtype, tensor.shape)
            assert torch.equal(bits(saved[name]), bits(tensor)), name


def test_the_parts_of_complex_numbers() -> None:
    """Saved as two tensors; the imaginary part of a conjugate says only that its sign is turned."""
    numbers = torch.randn(ROWS * COLUMNS, dtype=torch.complex64)
    parts = {"real": numbers.real, "imaginary": numbers.conj().imag}
    assert parts["imaginary"].is_neg()
    arena = Arena()
    saved = staged(Staging(arena), arena, parts)
    assert torch.equal(saved["real"], numbers.real)
    assert torch.equal(saved["imaginary"], -numbers.imag)
