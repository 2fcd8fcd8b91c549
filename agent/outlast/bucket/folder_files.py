"""What a folder as a bucket does to single files: whole writes, durable names, litter of the dead."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

import xxhash


def version_of(mtime_ns: int, body: bytes) -> str:
    return f"{mtime_ns:x}-{xxhash.xxh3_64_hexdigest(body)}"


def write_all(fd: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sweep(folder: Path) -> None:
    """Removes what writers that died left behind: their locks went with them."""
    for entry in os.scandir(folder):
        with suppress(OSError):
            fd = os.open(entry.path, os.O_RDWR)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(entry.path)
            finally:
                os.close(fd)
