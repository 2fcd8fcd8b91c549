"""All that lies in an environment's folder, as it was at one moment, and whether it is still the same."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

FOLDER, FILE, LINK, NAME = "d", "f", "l", "h"  # the last: a second name of a file that is listed before


class NotPackable(Exception):
    """Something in it can't be packed; the message names it."""


@dataclass(frozen=True)
class Item:
    """`path` is relative to the folder."""

    path: str
    kind: str
    mode: int
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0
    target: str = ""  # of a link, or the first name of the file

    @property
    def derived(self) -> bool:
        """Python makes it from its source, on any node and at any time."""
        return self.path.endswith(".pyc") or self.path.endswith("__pycache__")

    def same(self, found: os.stat_result) -> bool:
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns) == (
            self.inode, self.size, self.mtime_ns, self.ctime_ns
        )  # fmt: skip


def listing(root: Path) -> list[Item]:
    """In the order of their paths, a folder before what is in it. Raises OSError, NotPackable."""
    first: dict[int, str] = {}
    items = []
    for path, found in sorted(_walk(root)):
        items.append(_item(root, path, found, first))
    return items


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    waiting = [""]
    while waiting:
        above = waiting.pop()
        with os.scandir(root / above) as entries:
            for entry in entries:
                path = f"{above}/{entry.name}" if above else entry.name
                yield path, entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)


def _item(root: Path, path: str, found: os.stat_result, first: dict[int, str]) -> Item:
    mode = stat.S_IMODE(found.st_mode) & 0o777
    if stat.S_ISDIR(found.st_mode):
        return Item(path, FOLDER, mode)
    if stat.S_ISLNK(found.st_mode):
        return Item(path, LINK, mode, target=os.readlink(root / path))
    if not stat.S_ISREG(found.st_mode):
        raise NotPackable(f"{path} is no plain file")
    if found.st_nlink > 1:
        if found.st_ino in first:
            return Item(path, NAME, mode, target=first[found.st_ino])
        first[found.st_ino] = path  # the other names may also lie outside, in the cache of an installer
    return Item(
        path, FILE, mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
    )  # fmt: skip


def fingerprint(items: Iterable[Item]) -> str:
    """Changes with whatever a training could change in it, but not with what Python derives."""
    hashed = xxhash.xxh3_128()
    for item in items:
        if not item.derived:
            line = (item.path, item.kind, item.mode, item.size, item.mtime_ns, item.ctime_ns, item.target)
            hashed.update(repr(line).encode())
    return hashed.hexdigest()
