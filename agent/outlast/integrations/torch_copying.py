"""Copies tensors from memory to memory in a few threads that meet only at the end.

torch's own threads wait for each other after every tensor. Whatever else wants a core for a moment, our own
writer process included, makes all of them wait: a copy takes a tenth longer on an idle machine and twice as
long beside one busy process (measured in saves, 256 tensors of 4 MiB on 2 cores).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

Pair = tuple[torch.Tensor, torch.Tensor]  # to, from: same shape and dtype

THREADS_MAX = 8  # more do not make the memory faster
SHARE_BYTES_MIN = 8 << 20  # below it, starting a thread costs more than it brings
VALUE_BYTES_MAX = 16  # a share of a multiple of it is cut between two values, whatever their type


def copy_all(pairs: Sequence[Pair]) -> None:
    """All of them on the CPU and contiguous; copied on return."""
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
        size, at = tensor.element_size(), 0
        while at < tensor.numel():
            if room < size:
                shares.append([])
                room = share_bytes
            end = min(at + room // size, tensor.numel())
            whole = end - at == tensor.numel()
            shares[-1].append((to, tensor) if whole else (to.view(-1)[at:end], tensor.view(-1)[at:end]))
            room -= (end - at) * size
            at = end
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

    `torch.set_num_threads` would change it for every thread that the training begins later.
    """
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        found: Callable[[int], None] = ctypes.CDLL(str(library)).omp_set_num_threads
    except (OSError, AttributeError):
        return None
    return found
