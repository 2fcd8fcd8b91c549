"""Follows the trainer's progress file, line by line, also when the trainer begins a new one."""

from __future__ import annotations

import os
from pathlib import Path

from outlast.trainer_contract import PROGRESS_BYTES_MAX, Progress, read_progress

READ_BYTES_MAX = 1 << 20  # a call; a line longer than this is dropped


class ProgressTail:
    """One reader. A file that is not there yet, or is unreadable, is simply no progress."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._offset = 0

    def read(self) -> list[Progress]:
        """All lines appended since the last call."""
        lines: list[Progress] = []
        for _ in range(2 * PROGRESS_BYTES_MAX // READ_BYTES_MAX):
            if self._descriptor is None and not self._open():
                break
            more = self._read_some()
            lines += more
            if not more and not self._replaced():
                break
        return lines

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None

    def _open(self) -> bool:
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        self._offset = 0
        return True

    def _read_some(self) -> list[Progress]:
        assert self._descriptor is not None
        try:
            data = os.pread(self._descriptor, READ_BYTES_MAX, self._offset)
        except OSError:
            return []  # a disk in trouble: the next look may read it
        lines, used = read_progress(data)
        self._offset += used if used or len(data) < READ_BYTES_MAX else len(data)
        return lines

    def _replaced(self) -> bool:
        """True when the trainer began a new file: the old one was read to its end, so leave it."""
        assert self._descriptor is not None
        try:
            there = self._path.stat()
        except OSError:
            return False
        here = os.fstat(self._descriptor)
        if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
            return False
        self.close()
        return True
