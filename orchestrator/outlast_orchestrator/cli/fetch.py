"""Brings files of a job to this machine: hashed while they arrive, under their names only when whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from outlast.bucket.manifest import Hasher
from outlast_orchestrator.cli.client import Client
from outlast_orchestrator.cli.exits import Refused
from outlast_orchestrator.core.errors import UserError

READ_BYTES = 4 << 20
ARRIVING = ".outlast-part"  # ends the name of a file that is not whole yet
TRIES_MAX = 2  # the second tells bytes that broke on the way from bytes that are broken


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What the disk refuses is told with its place. Raises UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or folder} can't be written: {error.strerror}") from error


def place(item: Mapping[str, Any], folder: Path, what: str) -> Path:
    """Where a file comes to lie. Raises UserError when that would be outside of `folder`."""
    inside = PurePosixPath(item["path"])
    if inside.is_absolute() or ".." in inside.parts or not inside.parts:
        raise UserError(f"the {what} {item['path']!r} would lie outside of {folder}: it is not fetched")
    return folder.joinpath(*inside.parts)


def is_there(item: Mapping[str, Any], target: Path) -> bool:
    """An earlier try has brought it, whole."""
    if not target.is_file() or target.stat().st_size != item["size"]:
        return False
    hasher = Hasher()
    with target.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            hasher.update(chunk)
    return bool(hasher.text() == item["hash"])


def fetch(
    client: Client,
    url: str,
    item: Mapping[str, Any],
    target: Path,
    moved: Callable[[int], None] = lambda _count: None,
) -> None:
    """`moved` is told of every count of bytes. Raises Refused when what arrives is damaged; OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ARRIVING)
    written = 0
    for _ in range(TRIES_MAX):
        moved(-written)
        written, hasher = 0, Hasher()
        with part.open("wb") as file:
            for chunk in client.stream(url):
                file.write(chunk)
                hasher.update(chunk)
                written += len(chunk)
                moved(len(chunk))
            file.flush()
            os.fsync(file.fileno())
        if (written, hasher.text()) == (item["size"], item["hash"]):
            part.replace(target)
            return
    part.unlink()
    raise Refused(f"{item['path']} arrived damaged ({written} of {item['size']} bytes): try again")
