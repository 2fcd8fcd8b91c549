"""Keeps two controllers of one machine off the same store file, and proves that the last one is dead."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from outlast_orchestrator.core.errors import StoreError, UserError
from outlast_orchestrator.store.engine import store_file


def lock_store(url: str, pid: int) -> StoreLock | None:
    """None for a store that several controllers may share. Raises UserError and StoreError."""
    file = store_file(url)
    return None if file is None else StoreLock(file, pid)


class StoreLock:
    """A lock that the kernel drops with its process, however that ends: who holds it, lives.

    An SQLite store is used from one machine only, so whoever gets the lock knows that no other controller
    lives on the store, and need not wait until a dead one's leadership has run out.
    """

    def __init__(self, store_file: Path, pid: int) -> None:
        """Raises UserError when another controller lives on this store, StoreError when none could."""
        self._path = store_file.with_name(store_file.name + ".lock")
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"the store {store_file} can't be locked ({error.strerror}: {self._path}): "
                "does the folder exist, and may this user write there?"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            other = os.read(self._fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise UserError(
                f"another controller (pid {other}) is running on the store {store_file}: "
                "stop it with `outlast server stop`, or choose another OUTLAST_HOME"
            ) from error
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(pid).encode(), 0)
        except OSError as error:
            os.close(self._fd)
            raise StoreError(f"the store's lock {self._path} can't be written: {error.strerror}") from error

    def release(self) -> None:
        """The file stays: removing it would let two processes lock two files of one name."""
        os.close(self._fd)
