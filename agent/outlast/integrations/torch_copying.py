"""Copies many tensors at once, in a few threads of our own that meet only at the end."""

from __future__ import annotations

import math
from collections import deque
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
    with torch.no_grad():
        if rest:
            torch._foreach_copy_([to for to, _ in rest], [source for _, source in rest])
        _share(plain, min(threads, THREADS_MAX, sum(to.nbytes for to, _ in plain) // SHARE_BYTES_MIN) - 1)


def _share(pairs: Sequence[Pair], others: int) -> None:
    """This thread alone makes the pieces, which takes the interpreter's lock: threads that each made their
    own would wait for it in the middle of their copies (measured: a sixth more)."""
    if others < 1:
        for turn in _turns(pairs):
            _copy(turn)
        return
    ready: deque[list[Pair]] = deque()
    with ThreadPoolExecutor(others) as pool:
        done = []
        for turn in _turns(pairs):
            ready.append(turn)
            done.append(pool.submit(_take, ready))
        while ready:
            _take(ready)
        for one in done:
            one.result()


def _take(ready: deque[list[Pair]]) -> None:
    try:
        turn = ready.popleft()
    except IndexError:
        return  # another thread was faster
    with torch.no_grad():  # it holds for one thread alone
        _copy(turn)


def _copy(turn: list[Pair]) -> None:
    torch._foreach_copy_([to for to, _ in turn], [source for _, source in turn])


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
        for piece in pieces(*pair):
            turn.append(piece)
            size += piece[0].nbytes
            if size >= TURN_BYTES:
                yield turn
                turn, size = [], 0
    if turn:
        yield turn
