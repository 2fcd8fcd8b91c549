"""Copies tensors from memory to memory in a few threads that meet only at the end.

torch's own threads wait for each other after every tensor. Whatever else wants a core for a moment, our own
writer process included, makes all of them wait: a copy takes a fifth longer on an idle machine and three
times as long beside one busy process (measured, 256 tensors of 4 MiB on 2 cores).
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from outlast.writing.memory import SHARE_BYTES_MIN, THREADS_MAX, move_all

Pair = tuple[torch.Tensor, torch.Tensor]  # to, from: same shape and dtype

VALUE_BYTES_MAX = 16
CROWDED = 1.5  # runnable processes for each core


def crowded() -> bool:
    """Whether other processes want the cores: then libc's copy, which asks less of them, is faster."""
    return os.getloadavg()[0] > CROWDED * (os.cpu_count() or 1)


def copy_all(pairs: Sequence[Pair], *, by_bytes: bool) -> None:
    """All of them on the CPU and contiguous; copied on return. `by_bytes`: as `crowded` says."""
    if by_bytes:
        straight = [pair for pair in pairs if not pair[1].is_neg()]
        copy_together([pair for pair in pairs if pair[1].is_neg()])
        moves = [(to.data_ptr(), tensor.data_ptr(), to.nbytes) for to, tensor in straight]
        move_all(moves, torch.get_num_threads())
        return
    parts = min(torch.get_num_threads(), THREADS_MAX, sum(to.nbytes for to, _ in pairs) // SHARE_BYTES_MIN)
    if parts < 2 or _set_threads() is None:
        copy_together(pairs)
        return
    shares = share_out(pairs, parts)
    with ThreadPoolExecutor(len(shares)) as pool:
        for done in [pool.submit(_copy_alone, share) for share in shares]:
            done.result()


def copy_together(pairs: Sequence[Pair]) -> None:
    """Of any kind and layout, by all of torch's threads at once."""
    if pairs:
        with torch.no_grad():
            torch._foreach_copy_([to for to, _ in pairs], [tensor for _, tensor in pairs])


def share_out(pairs: Sequence[Pair], parts: int) -> list[list[Pair]]:
    """Shares of about the same number of bytes; a large tensor is cut."""
    share_bytes = -(-sum(to.nbytes for to, _ in pairs) // (parts * VALUE_BYTES_MAX)) * VALUE_BYTES_MAX
    shares: list[list[Pair]] = []
    room = 0
    for to, tensor in pairs:
        flat_to, flat, at, size = to, tensor, 0, tensor.element_size()
        if tensor.nbytes > room:
            flat_to, flat = to.view(-1), tensor.view(-1)
        while at < tensor.numel():
            if room < size:
                shares.append([])
                room = share_bytes
            count = min(room // size, tensor.numel() - at)
            whole = count == tensor.numel()
            shares[-1].append((to, tensor) if whole else (flat_to[at : at + count], flat[at : at + count]))
            at += count
            room -= count * size
    return shares


def _copy_alone(pairs: Sequence[Pair]) -> None:
    set_threads = _set_threads()
    assert set_threads is not None
    torch.get_num_threads()  # a new thread takes over the process's number once: before ours
    set_threads(1)
    copy_together(pairs)


@functools.cache
def _set_threads() -> Callable[[int], None] | None:
    """OpenMP's number of threads for the calling thread alone; None: this torch is built otherwise.

    `torch.set_num_threads` would change it for every thread that begins later, and MKL's for all.
    """
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        found: Callable[[int], None] = ctypes.CDLL(str(library)).omp_set_num_threads
    except (OSError, AttributeError):
        return None
    return found
