"""The memory that a save is copied into: shared with the writer process, made once, touched once."""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import suppress

MADV_POPULATE_READ, MADV_POPULATE_WRITE = 22, 23  # Linux 5.14; not in Python's mmap module
ROUND_BYTES = 2 << 20
SPARE_SHARE = 64  # room for a state that grows a little from save to save


class Arena:
    """Shared, not private: after a fork (a DataLoader's workers) private pages cost a copy at every save."""

    def __init__(self) -> None:
        self.descriptor = _anonymous()
        self.memory: mmap.mmap | None = None
        self.size = 0

    def reserve(self, size: int) -> bool:
        """At least `size` bytes; True when the memory is mapped anew. Raises OSError.

        The old mapping goes when nothing refers to it any more.
        """
        if size <= self.size:
            return False
        wanted = -(-(size + size // SPARE_SHARE) // ROUND_BYTES) * ROUND_BYTES
        os.ftruncate(self.descriptor, wanted)
        self.memory = mmap.mmap(self.descriptor, wanted)
        with suppress(OSError, AttributeError):
            self.memory.madvise(mmap.MADV_HUGEPAGE)
        with suppress(OSError, AttributeError):  # an older kernel: the first save touches it
            self.memory.madvise(MADV_POPULATE_WRITE)
        self.size = wanted
        return True


class Reader:
    """The writer process's view of the arena, mapped again only when that has grown."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = 0
        self._view = memoryview(b"")

    def view(self, size: int) -> memoryview:
        """Raises OSError."""
        if size > self._size:
            memory = mmap.mmap(self._descriptor, size, prot=mmap.PROT_READ)
            with suppress(OSError, AttributeError):
                memory.madvise(MADV_POPULATE_READ)
            self._view, self._size = memoryview(memory), size
        return self._view


def _anonymous() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("outlast-arena", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(prefix="outlast-arena-") as file:
        return os.dup(file.fileno())
