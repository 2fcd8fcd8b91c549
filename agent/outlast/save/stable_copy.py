"""Takes a checkpoint out of the trainer's reach: reflink, hard link where that is safe, or a copy."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from outlast.protocol.codec import FormatError
from outlast.protocol.objects import HASH_ALGORITHM
from outlast.save.found import Found, FoundFile
from outlast.save.marker import MARKER, read_marker
from outlast.save.sources import GuardedSource, MappedSource, SourceChanged
from outlast.save.types import StableCopy, StableFile

FICLONE = 0x40049409
COPY_BYTES = 8 << 20
MARKER_BYTES_MAX = 64 << 20
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Changed:
    """The checkpoint changed or went away while it was being copied: discard it, another will come."""

    why: str


@dataclass(frozen=True)
class NoCopy:
    """The agent's disk takes no copy: full, read-only or failing. Nothing of it was left there; `guarded`
    does without one."""

    why: str


def free_bytes(folder: Path) -> int:
    info = os.statvfs(folder)
    return info.f_bavail * info.f_frsize


def clear_staging(staging: Path) -> None:
    """At the agent's start: copies of an earlier process belong to nobody."""
    shutil.rmtree(staging, ignore_errors=True)


def stable_copy(
    found: Found,
    staging: Path,
    nonce: str,
    *,
    final: bool = False,
    free: Callable[[Path], int] = free_bytes,
) -> StableCopy | Changed | NoCopy:
    """`staging` lies in the agent's home; `nonce` is new for each call.

    A copy leaves room for one more save of the same size: it must never be the reason why the trainer's
    own next save finds the disk full.
    """
    folder = staging / f"{found.step}-{nonce}"
    if (folder / "").exists():
        raise ValueError(f"{folder} exists: a nonce was used twice")
    files: list[StableFile] = []
    try:
        folder.mkdir(parents=True)
        for file in found.files:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            if not (found.may_link and _link(file, target)):
                _copy(file, target, lambda: free(staging) - found.bytes)
            files.append(StableFile(file.path, MappedSource(target, file.size)))
        _check_all(found)
        noted = _noted(files)
    except SourceChanged as error:
        shutil.rmtree(folder, ignore_errors=True)
        return Changed(str(error))
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        if error.errno in NO_SPACE:
            return NoCopy(f"no room in {staging} for a copy of step {found.step} ({found.bytes} bytes)")
        return NoCopy(f"step {found.step} could not be copied: {error}")

    def drop() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    return replace(_copy_of(found, noted, drop, final), mapped=True)


def guarded(found: Found, *, final: bool = False) -> StableCopy | Changed:
    """Without a copy: the trainer's own files, held open, and given up as soon as one of them changes."""
    sources: list[GuardedSource] = []

    def drop() -> None:
        for source in sources:
            source.close()

    try:
        sources.extend(GuardedSource(file) for file in found.files)
        noted = _noted([StableFile(f.path, s) for f, s in zip(found.files, sources, strict=True)])
    except OSError as error:
        drop()
        return Changed(f"step {found.step} changed: {error}")
    return _copy_of(found, noted, drop, final)


def _noted(files: list[StableFile]) -> tuple[StableFile, ...]:
    """With the hashes that the marker of our own writer gives, if there is one: of bytes in its memory."""
    marker = next((file.source for file in files if file.path == MARKER), None)
    if marker is None or marker.size > MARKER_BYTES_MAX:
        return tuple(files)
    try:
        marked = read_marker(bytes(marker.read(0, marker.size))).files
    except FormatError:
        return tuple(files)
    hashes = {file.path: file.hash for file in marked if file.hash.startswith(f"{HASH_ALGORITHM}:")}
    return tuple(replace(file, hash=hashes.get(file.path, "")) for file in files)


def _copy_of(
    found: Found, files: tuple[StableFile, ...], drop: Callable[[], None], final: bool
) -> StableCopy:
    begun_at = min(file.mtime_ns for file in found.files) / 1e9
    return StableCopy(
        found.step, found.kind, found.confidence, files, drop, final,
        begun_at=begun_at, numbered=found.numbered, grown=found.grown,
    )  # fmt: skip


def _link(file: FoundFile, target: Path) -> bool:
    """False where the file system can't (another device, no links): then a copy is made."""
    try:
        os.link(file.at, target, follow_symlinks=True)
    except FileNotFoundError:
        raise SourceChanged(f"{file.at} was deleted") from None
    except OSError:
        return False
    if target.is_symlink():  # the kernel linked the link itself
        target.unlink()
        return False
    _check(file, target.stat())
    return True


def _copy(file: FoundFile, target: Path, spare_bytes: Callable[[], int]) -> None:
    try:
        source = os.open(file.at, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SourceChanged(f"{file.at} was deleted") from None
    try:
        _check(file, os.fstat(source))
        sink = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if not _reflink(source, sink):
                if spare_bytes() < file.size:
                    raise OSError(errno.ENOSPC, "no room beside the trainer's next save")
                _copy_bytes(source, sink, file)
        finally:
            os.close(sink)
        _check(file, os.fstat(source))
    finally:
        os.close(source)


def _reflink(source: int, sink: int) -> bool:
    try:
        fcntl.ioctl(sink, FICLONE, source)
    except OSError:
        return False
    return True


def _copy_bytes(source: int, sink: int, file: FoundFile) -> None:
    done = 0
    while done < file.size:
        sent = os.sendfile(sink, source, done, min(COPY_BYTES, file.size - done))
        if sent == 0:
            raise SourceChanged(f"{file.at} ends at {done} of {file.size} bytes")
        done += sent


def _check(file: FoundFile, info: os.stat_result) -> None:
    if not file.same(info):
        raise SourceChanged(f"{file.at} changed while it was being copied")


def _check_all(found: Found) -> None:
    """All files once more at the end: a save that began over an earlier file is seen by the later ones."""
    for file in found.files:
        try:
            info = file.at.stat()
        except FileNotFoundError:
            continue  # rotated away after it was copied whole
        _check(file, info)
