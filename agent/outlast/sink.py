"""Where restored files arrive: a staging folder that becomes the checkpoint in one rename."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from outlast.protocol.objects import FileEntry, Manifest

READ_BYTES = 1 << 20  # stays in the processor's cache while it is hashed

Chunk = bytes | memoryview


class Sink(Protocol):
    """Takes the files of checkpoints, and puts a whole checkpoint in its place. All raise OSError.

    What has arrived is kept by the object that it came from: a file that two checkpoints name arrives once.
    Different parts may be read and written at the same time.
    """

    def open(self, manifest: Manifest, entry: FileEntry) -> bool:
        """Makes room for it. True: some of its bytes may be there already (nobody has looked at them)."""

    def read(self, entry: FileEntry, offset: int, length: int) -> Iterator[Chunk]:
        """What is there now."""

    def write(self, entry: FileEntry, offset: int, chunks: Iterator[Chunk]) -> int:
        """Replaces what is there. Returns the bytes written."""

    def place(self, manifest: Manifest) -> None:
        """All files have arrived and are verified: makes them the checkpoint, in one step."""

    def settle(self, manifest: Manifest) -> None:
        """What was placed is on the disk when this returns; before, it can only be used."""


class FolderSink:
    """Files arrive under `staging/<key>` and go as one folder to `place_of(manifest)`.

    Both must be on one file system. Files that a manifest does not name never reach the place. What lies in
    the place already is linked, looked at, and kept where it is right. Plain files, whose place is `shared`
    itself, are moved into it one by one: what else lies there is not theirs.
    """

    def __init__(
        self, staging: Path, place_of: Callable[[Manifest], Path], shared: Path | None = None
    ) -> None:
        self._staging = staging
        self._place_of = place_of
        self._shared = shared
        self._breaking = threading.Lock()

    def open(self, manifest: Manifest, entry: FileEntry) -> bool:
        file = self._staging / entry.key
        file.parent.mkdir(parents=True, exist_ok=True)
        info = _info(file)
        if info is not None and not _usable(info, entry.size):
            _remove(file)
            info = None
        if info is None:
            return self._link(manifest, entry, file) or _make(file, entry.size)
        if info.st_size != entry.size:
            os.truncate(file, entry.size)
        return True

    def _link(self, manifest: Manifest, entry: FileEntry, file: Path) -> bool:
        """From where an earlier try was killed while it put it in place, or from the place itself."""
        for folder in (self._new(manifest), self._place_of(manifest)):
            found = folder / entry.path
            info = _info(found)
            if info is not None and stat.S_ISREG(info.st_mode) and info.st_size == entry.size:
                with suppress(OSError):  # a file system without links: then it is fetched
                    os.link(found, file, follow_symlinks=False)
                    return True
        return False

    def read(self, entry: FileEntry, offset: int, length: int) -> Iterator[Chunk]:
        fd = os.open(self._staging / entry.key, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            end = offset + length
            while offset < end and (chunk := os.pread(fd, min(READ_BYTES, end - offset), offset)):
                offset += len(chunk)
                yield chunk
        finally:
            os.close(fd)

    def write(self, entry: FileEntry, offset: int, chunks: Iterator[Chunk]) -> int:
        fd, begun = self._writable(self._staging / entry.key), offset
        try:
            for chunk in chunks:
                left = memoryview(chunk)
                while left:
                    written = os.pwrite(fd, left, offset)
                    offset += written
                    left = left[written:]
        finally:
            os.close(fd)
        return offset - begun

    def _writable(self, file: Path) -> int:
        """A file that is a link is made one of its own first: the other name's bytes are somebody else's."""
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(file, flags)
        if os.fstat(fd).st_nlink == 1:
            return fd
        os.close(fd)
        with self._breaking:
            if file.stat().st_nlink > 1:
                own = file.with_name(f"{file.name}.own")
                shutil.copyfile(file, own)
                os.replace(own, file)
        return os.open(file, flags)

    def place(self, manifest: Manifest) -> None:
        new, target = self._new(manifest), self._place_of(manifest)
        _remove(new)
        uses = Counter(entry.key for entry in manifest.files)
        for entry in manifest.files:
            arrived, file = self._staging / entry.key, new / entry.path
            file.parent.mkdir(parents=True, exist_ok=True)
            uses[entry.key] -= 1
            if uses[entry.key]:
                shutil.copyfile(arrived, file)
            else:
                os.rename(arrived, file)
        for folder, _, _ in os.walk(new, topdown=False):
            _sync(Path(folder))
        target.parent.mkdir(parents=True, exist_ok=True)
        if target == self._shared:
            _move_into(target, new, manifest)
        else:
            aside = self._staging / f"{manifest.name}.old"
            _remove(aside)
            with suppress(FileNotFoundError):
                os.rename(target, aside)
            os.rename(new, target)
        _sync(target.parent)
        for left in self._staging.iterdir():
            _remove(left)

    def settle(self, manifest: Manifest) -> None:
        place = self._place_of(manifest)
        for entry in manifest.files:
            with suppress(FileNotFoundError):  # its trainer has deleted it meanwhile
                _sync(place / entry.path)

    def _new(self, manifest: Manifest) -> Path:
        return self._staging / f"{manifest.name}.new"


def _move_into(target: Path, new: Path, manifest: Manifest) -> None:
    """A crash in between does no harm: nothing is resumed from before a restore has come to its end."""
    for entry in manifest.files:
        file = target / entry.path
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        os.rename(new / entry.path, file)
        _sync(file.parent)


def _info(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _usable(info: os.stat_result, size: int) -> bool:
    """A file of our own of whatever length, or one that is another's too and has the right one."""
    return stat.S_ISREG(info.st_mode) and (info.st_nlink == 1 or info.st_size == size)


def _make(file: Path, size: int) -> bool:
    """False: nothing of it is there yet."""
    with file.open("xb") as out:
        out.truncate(size)
    return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
