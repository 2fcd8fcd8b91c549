"""Where restored files arrive: a staging folder that becomes the checkpoint in one rename."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from outlast.protocol.objects import Manifest

READ_BYTES = 4 << 20


class Sink(Protocol):
    """Takes files of named checkpoints and puts a whole checkpoint in its place. All raise OSError.

    Different files may be written at the same time.
    """

    def read(self, name: str, path: str) -> Iterator[bytes] | None:
        """What has arrived under that path before, or None."""

    def write(self, name: str, path: str, chunks: Iterator[bytes]) -> int:
        """Replaces the file by `chunks`; durable on return. Returns the bytes written."""

    def place(self, manifest: Manifest) -> None:
        """All files have arrived and are verified: makes them the checkpoint, in one step."""


class FolderSink:
    """Files arrive under `staging/<checkpoint>/` and go as one folder to `place_of(manifest)`.

    Both must be on one file system. Files that a manifest does not name never reach the place.
    """

    def __init__(self, staging: Path, place_of: Callable[[Manifest], Path]) -> None:
        self._staging = staging
        self._place_of = place_of

    def read(self, name: str, path: str) -> Iterator[bytes] | None:
        file = self._staging / name / path
        if not file.is_file() or file.is_symlink():
            return None
        return _read(file)

    def write(self, name: str, path: str, chunks: Iterator[bytes]) -> int:
        file = self._staging / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        # A new file each time: writing into an old one could write through a link that somebody left.
        file.unlink(missing_ok=True)
        size = 0
        with file.open("xb") as out:
            for chunk in chunks:
                out.write(chunk)
                size += len(chunk)
            out.flush()
            os.fsync(out.fileno())
        return size

    def place(self, manifest: Manifest) -> None:
        source = self._staging / manifest.name
        wanted = {source / entry.path for entry in manifest.files}
        for folder, _, files in os.walk(source, topdown=False):
            for name in files:
                if Path(folder) / name not in wanted:
                    (Path(folder) / name).unlink()
            _sync(Path(folder))
        target = self._place_of(manifest)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = self._staging / f"{manifest.name}.old"
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(FileNotFoundError):
            os.rename(target, aside)
        os.rename(source, target)
        _sync(target.parent)
        _remove(aside)


def _read(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(READ_BYTES):
            yield chunk


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
