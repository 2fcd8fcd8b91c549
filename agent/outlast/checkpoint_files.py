"""Outlast's own checkpoint folder on disk: marked, renamed into place, verified, deleted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import xxhash

from outlast.protocol.codec import FormatError
from outlast.protocol.objects import HASH_ALGORITHM
from outlast.save.marker import (
    FORMAT,
    MARKER,
    UNFINISHED_PREFIX,
    MarkedFile,
    Marker,
    folder_name,
    marker_bytes,
    read_marker,
    step_of,
)
from outlast.training import CheckpointError

READ_BYTES = 4 << 20


def write(root: Path, step: int, fill: Callable[[Path], None], request: str = "") -> Path:
    """For files that other code writes: `fill` puts them into a temp folder; durable on return.

    Raises OSError; leaves nothing then.
    """
    root.mkdir(parents=True, exist_ok=True)
    temp = root / temp_name(step, str(os.getpid()))
    shutil.rmtree(temp, ignore_errors=True)
    try:
        temp.mkdir()
        fill(temp)
        files = sorted(path for path in temp.iterdir())
        for path in files:
            sync(path)
        marked = tuple(MarkedFile(path.name, path.stat().st_size) for path in files)
        return commit(root, temp.name, step, marked, request)
    except BaseException:
        shutil.rmtree(temp, ignore_errors=True)
        raise


def temp_name(step: int, nonce: str) -> str:
    return f"{UNFINISHED_PREFIX}{folder_name(step)}-{nonce}"


def commit(root: Path, temp: str, step: int, files: tuple[MarkedFile, ...], request: str = "") -> Path:
    """Marks the temp folder, whose files are durable, and renames it into place; durable on return.

    Raises OSError.
    """
    folder, target = root / temp, root / folder_name(step)
    (folder / MARKER).write_bytes(marker_bytes(Marker(FORMAT, step, files, request)))
    sync(folder / MARKER)
    sync(folder)
    _take_place(folder, target)
    sync(root)
    return target


def _take_place(temp: Path, target: Path) -> None:
    if target.is_dir():  # the same step, trained again
        old = target.with_name(f"{UNFINISHED_PREFIX}old-{target.name}-{os.getpid()}")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        temp.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        temp.rename(target)


def recover(root: Path) -> None:
    """Puts back a whole checkpoint that a process was killed while replacing, if its place is empty."""
    for old in sorted(root.glob(f"{UNFINISHED_PREFIX}old-step-*")):
        name = old.name.removeprefix(f"{UNFINISHED_PREFIX}old-").rpartition("-")[0]
        if step_of(name) is None or (root / name).exists():
            continue
        try:
            verify(old)
        except CheckpointError:
            continue  # it was being deleted
        old.rename(root / name)


def sync(path: Path) -> None:
    """Until this returns, a power cut may still take the file (or, for a folder, its entries)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def verify(folder: Path, *, hashes: bool = False) -> Marker:
    """The marker of a complete checkpoint. `hashes`: reads every file, too. Raises CheckpointError."""
    try:
        marker = read_marker((folder / MARKER).read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is no checkpoint of outlast.Checkpointer: no {MARKER}") from None
    except FormatError as error:
        raise CheckpointError(f"{folder / MARKER}: {error}") from error
    if marker.format > FORMAT:
        raise CheckpointError(f"{folder} has format {marker.format}; this version reads up to {FORMAT}")
    for file in marker.files:
        path = folder / file.path
        size = path.stat().st_size if path.is_file() else None
        if size != file.size:
            raise CheckpointError(f"{path}: {'missing' if size is None else size}, not {file.size} bytes")
        if hashes and file.hash and _hash_of(path) != file.hash:
            raise CheckpointError(f"{path} is damaged: its bytes are not those that were saved")
    return marker


def _hash_of(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return f"{HASH_ALGORITHM}:{digest.hexdigest()}"


def steps(root: Path) -> list[int]:
    """Steps of the checkpoints in the folder, oldest first, by name only."""
    if not root.is_dir():
        return []
    return sorted(step for step in (step_of(path.name) for path in root.iterdir()) if step is not None)


def drop(root: Path, step: int) -> None:
    """Deletes one checkpoint. Renamed first, so that none is ever seen half deleted."""
    folder = root / folder_name(step)
    gone = root / f"{UNFINISHED_PREFIX}old-{folder.name}-{os.getpid()}"
    if folder.is_dir():
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
