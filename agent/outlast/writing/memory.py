"""Copies many pieces of memory at once, in a few threads that meet only at the end."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

Move = tuple[int, int, int]  # to, from, bytes

THREADS_MAX = 8  # more do not make the memory faster
SHARE_BYTES_MIN = 8 << 20  # below it, starting a thread costs more than it brings


def move_all(moves: Sequence[Move], threads: int) -> None:
    """All pieces are copied on return. torch would meet all its threads after every tensor instead."""
    shares = split(moves, max(1, min(threads, THREADS_MAX, sum(n for *_, n in moves) // SHARE_BYTES_MIN)))
    if len(shares) == 1:
        _move(shares[0])
    elif shares:
        with ThreadPoolExecutor(len(shares) - 1) as pool:
            others = [pool.submit(_move, share) for share in shares[1:]]
            _move(shares[0])
            for other in others:
                other.result()


def split(moves: Sequence[Move], parts: int) -> list[list[Move]]:
    """Shares of about the same number of bytes; a large piece is cut."""
    total = sum(n for *_, n in moves)
    share_bytes = -(-total // parts) if parts else 0
    shares: list[list[Move]] = []
    room = 0
    for to, source, size in moves:
        at = 0
        while at < size:
            if room == 0:
                shares.append([])
                room = share_bytes
            n = min(room, size - at)
            shares[-1].append((to + at, source + at, n))
            at += n
            room -= n
    return shares


def _move(moves: Sequence[Move]) -> None:
    for to, source, size in moves:
        ctypes.memmove(to, source, size)  # without the GIL
