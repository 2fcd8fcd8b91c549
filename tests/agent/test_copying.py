"""Tensors are copied by threads that do not wait for each other, and nobody else's threads become fewer."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.integrations.torch_copying import _copy_alone, _set_threads, copy_all, share_out
from outlast.integrations.torch_staging import DTYPES

MIB = 1 << 20


def pairs_of(*sizes: int, dtype: torch.dtype = torch.float32) -> list[tuple[torch.Tensor, torch.Tensor]]:
    sources = [(torch.arange(size) % 251 + 1).to(dtype).view(1, -1) for size in sizes]
    return [(torch.zeros_like(source), source) for source in sources]


@pytest.mark.parametrize("sizes", [(5 * MIB, 1, 3, 4 * MIB - 1), (17 * MIB,), (7,), ()])
def test_every_value_is_copied(sizes: tuple[int, ...]) -> None:
    pairs = pairs_of(*sizes)
    copy_all(pairs)
    assert all(torch.equal(to, tensor) for to, tensor in pairs)


@pytest.mark.parametrize("parts", [1, 2, 3, 8])
@pytest.mark.parametrize("dtype", [torch.float64, torch.uint8, torch.bfloat16])
def test_shares_have_about_the_same_size_and_every_value_once(parts: int, dtype: torch.dtype) -> None:
    pairs = pairs_of(1000, 1, 77_777, 4, 50_000, dtype=dtype)
    shares = share_out(pairs, parts)
    assert len(shares) == parts
    sizes = [sum(to.nbytes for to, _ in share) for share in shares]
    assert sum(sizes) == sum(to.nbytes for to, _ in pairs)
    assert max(sizes) - min(sizes) <= 16 * parts
    for share in shares:
        for to, tensor in share:
            assert not to.any(), "copied twice"
            to.copy_(tensor)
    assert all(torch.equal(to, tensor) for to, tensor in pairs)


@given(st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(list(DTYPES)))), st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_whatever_the_tensors_every_value_is_in_one_share(
    kinds: list[tuple[int, torch.dtype]], parts: int
) -> None:
    pairs = [pair for size, dtype in kinds for pair in pairs_of(size, dtype=dtype)]
    shares = share_out(pairs, parts)
    copied_bytes = 0
    for share in shares:
        for to, tensor in share:
            to.copy_(tensor)
            copied_bytes += to.nbytes
    assert all(torch.equal(to.view(torch.uint8), tensor.view(torch.uint8)) for to, tensor in pairs)
    assert copied_bytes == sum(to.nbytes for to, _ in pairs), "none twice"


def in_a_new_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_the_trainings_own_threads_stay_as_many_as_they_were() -> None:
    torch.set_num_threads(torch.get_num_threads())  # whatever ran before has left for new threads
    before = (torch.get_num_threads(), in_a_new_thread())
    assert before[0] == before[1]
    copy_all(pairs_of(6 * MIB, 6 * MIB))
    assert (torch.get_num_threads(), in_a_new_thread()) == before


def test_a_share_is_copied_by_one_thread() -> None:
    assert _set_threads() is not None, "the wheels of torch for Linux are built with OpenMP"
    found: list[int] = []

    def run() -> None:
        _copy_alone(pairs_of(10))
        found.append(torch.get_num_threads())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [1]
