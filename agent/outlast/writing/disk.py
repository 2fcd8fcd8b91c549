"""Brings bytes that lie in memory onto the disk: past the page cache, hashed in the same pass, durable."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import xxhash

from outlast.protocol.objects import HASH_ALGORITHM
from outlast.writing.plan import BLOCK_BYTES, up_to_block

CHUNK_BYTES = 16 << 20  # measured: as fast as the disk, at a third of the CPU of a write through the cache
DIRECT = getattr(os, "O_DIRECT", 0)


def digest_of(view: memoryview) -> str:
    """`<algorithm>:<hex>`, as a manifest has it."""
    return f"{HASH_ALGORITHM}:{xxhash.xxh3_128(view).hexdigest()}"


def write_file(path: Path, view: memoryview, size: int) -> str:
    """Durable on return; returns the hash. `view` may be longer than `size`: up to the next block.

    Raises OSError.
    """
    descriptor, direct = _create(path)
    digest = xxhash.xxh3_128()
    padded = min(up_to_block(size), len(view)) if direct else size
    try:
        for begin in range(0, padded, CHUNK_BYTES):
            end = min(begin + CHUNK_BYTES, padded)
            digest.update(view[begin : min(end, size)])
            _write(descriptor, view[begin:end], begin)
        if padded != size:
            os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return f"{HASH_ALGORITHM}:{digest.hexdigest()}"


def _create(path: Path) -> tuple[int, bool]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    if DIRECT:
        try:
            return os.open(path, flags | DIRECT, 0o644), True
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            path.unlink(missing_ok=True)  # some file systems create it before they refuse
    return os.open(path, flags, 0o644), False


def _write(descriptor: int, data: memoryview, at: int) -> None:
    done = 0
    while done < len(data):
        try:
            wrote = os.pwrite(descriptor, data[done:], at + done)
        except OSError as error:
            if error.errno != errno.EINVAL or not _through_the_cache(descriptor):
                raise
            continue
        whole = (done + wrote) // BLOCK_BYTES * BLOCK_BYTES
        if wrote < len(data) - done and whole > done:
            done = whole  # a short write: direct I/O goes on at a block
        elif wrote:
            done += wrote
        else:
            raise OSError(errno.EIO, "the disk takes no more bytes and does not say why")


def _through_the_cache(descriptor: int) -> bool:
    """Ends direct I/O on a file whose system wants another alignment; False if it was not in use."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    if not flags & DIRECT:
        return False
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~DIRECT)
    return True
