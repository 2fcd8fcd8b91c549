"""Copies many tensors at once, in a few threads of our own that meet only at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

Pair = tuple[torch.Tensor, torch.Tensor]  # to, from: of one type and shape

THREADS_MAX = 8  # more do not make the memory faster
SHARE_BYTES_MIN = 8 << 20  # below it, starting a thread costs more than it brings
TURN_BYTES = 32 << 20  # what a thread takes at a time: the fast one takes more of them
ALONE_VALUES_MAX = (1 << 15) - 1  # torch copies so few in the thread that asks, and more in all of its own

# The wider the values, the more bytes are in the largest piece that torch copies in one thread.
WIDE = {16: torch.complex128, 8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.uint8}


def copy_all(pairs: Sequence[Pair], threads: int) -> None:
    """All values are copied, bit for bit, on return.

    torch's own threads wait for each other after every tensor: where other processes want the cores, each
    wait may be a time slice, and a copy takes five times as long (measured). So what lies plainly in memory
    is cut into pieces that torch copies in one thread, and only the rest is left to torch's.
    """
    plain = [pair for pair in pairs if _plain(pair[1])]
    rest = [pair for pair in pairs if not _plain(pair[1])]
    size = sum(to.nbytes for to, _ in plain)
    others = min(threads, THREADS_MAX, size // SHARE_BYTES_MIN) - 1
    turns = iter(list(_turns(plain)))  # of a list, whose iterator threads may share
    if rest:
        with torch.no_grad():
            torch._foreach_copy_([to for to, _ in rest], [source for _, source in rest])
    if others < 1:
        _work(turns)
        return
    with ThreadPoolExecutor(others) as pool:
        done = [pool.submit(_work, turns) for _ in range(others)]
        _work(turns)
        for one in done:
            one.result()


def pieces(to: torch.Tensor, source: torch.Tensor) -> list[Pair]:
    """The same bytes, in pieces of at most ALONE_VALUES_MAX of the widest values that fit."""
    places = [place for tensor in (to, source) for place in _places(tensor)]
    width = math.gcd(max(WIDE), to.nbytes, *places)
    wide = [tensor.view(-1).view(WIDE[width]) for tensor in (to, source)]
    count = -(-wide[0].numel() // ALONE_VALUES_MAX)
    return list(zip(*(tensor.chunk(count) for tensor in wide), strict=True))


def _places(tensor: torch.Tensor) -> tuple[int, int]:
    """In memory, and in its storage, which may itself lie anywhere (made over somebody's buffer)."""
    return tensor.data_ptr(), int(tensor.storage_offset()) * tensor.element_size()


def _plain(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.is_contiguous() and not tensor.is_neg()


def _turns(pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    turn: list[Pair] = []
    size = 0
    for pair in pairs:
        for part in _spans(pair):
            turn.append(part)
            size += part[0].nbytes
            if size >= TURN_BYTES:
                yield turn
                turn, size = [], 0
    if turn:
        yield turn


def _spans(pair: Pair) -> Iterator[Pair]:
    """A large tensor is shared by the threads as well."""
    to, source = pair
    if to.nbytes <= TURN_BYTES:
        yield pair
    else:
        values = TURN_BYTES // to.element_size()
        for at in range(0, to.numel(), values):
            yield to.view(-1)[at : at + values], source.view(-1)[at : at + values]


def _work(turns: Iterator[list[Pair]]) -> None:
    with torch.no_grad():  # it holds for one thread alone
        for turn in turns:
            cut = [piece for pair in turn for piece in pieces(*pair)]
            torch._foreach_copy_([to for to, _ in cut], [source for _, source in cut])
