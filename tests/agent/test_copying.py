"""The training's tensors lie in the arena bit for bit, whatever their types, places and shapes."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load

from outlast.integrations.torch_copying import ALONE_VALUES_MAX, SHARE_BYTES_MIN, TURN_BYTES, copy_all, pieces
from outlast.integrations.torch_staging import DTYPES, Staging
from outlast.writing.arena import Arena

THREADS = 4
ROWS, COLUMNS = 300, 704  # more values than torch copies in one thread


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


def test_parameters_under_training_stay_what_they_are() -> None:
    weights = [torch.nn.Parameter(torch.randn(SHARE_BYTES_MIN // 4)) for _ in range(THREADS)]
    copies = [torch.zeros(SHARE_BYTES_MIN // 4) for _ in weights]
    copy_all(list(zip(copies, weights, strict=True)), THREADS)
    assert all(torch.equal(copy, weight) for copy, weight in zip(copies, weights, strict=True))
    assert not any(copy.requires_grad for copy in copies)


def test_one_large_tensor_is_shared_by_the_threads() -> None:
    source = noise(TURN_BYTES * 2 + 48, torch.uint8)
    to = torch.zeros_like(source)
    copy_all([(to, source)], THREADS)
    assert torch.equal(to, source)
    copy_all([], THREADS)


@given(
    st.sampled_from(list(DTYPES)), st.integers(1, 3 * ALONE_VALUES_MAX), st.integers(0, 9), st.integers(0, 9)
)
@settings(max_examples=60, deadline=None)
def test_a_piece_fits_one_thread(dtype: torch.dtype, size: int, to_skip: int, skip: int) -> None:
    source = noise(size, dtype, skip * dtype.itemsize)
    to = noise(size, dtype, to_skip * dtype.itemsize)
    cut = pieces(to, source)
    assert all(part.numel() <= ALONE_VALUES_MAX for pair in cut for part in pair)
    torch._foreach_copy_([into for into, _ in cut], [part for _, part in cut])
    assert torch.equal(bits(to), bits(source))


def test_a_buffer_that_begins_anywhere() -> None:
    memory = bytearray(range(256)) * 4096
    source = torch.frombuffer(memory, dtype=torch.int16, offset=2, count=ALONE_VALUES_MAX * 8)
    to = torch.zeros_like(source)
    copy_all([(to, source)], THREADS)
    assert torch.equal(to, source)


def test_an_error_in_a_thread_is_told() -> None:
    """Half a copy must not look like a whole one."""
    good, long = torch.zeros(TURN_BYTES // 4), torch.zeros(TURN_BYTES // 2)
    pairs = [(torch.zeros_like(good), long), *((torch.zeros_like(good), good) for _ in range(3))]
    before = threading.active_count()
    with pytest.raises(RuntimeError):
        copy_all(pairs, THREADS)
    assert threading.active_count() == before
