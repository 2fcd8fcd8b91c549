"""The files that match `outputs:` on the node's disk, and bringing them back to where they were."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from outlast.bucket.manifest import Hasher
from outlast.node_ports import NodeTrouble, OutputFile
from outlast.ports import Runtime
from outlast.save.sources import FileSource

QUIET_S = 3.0
READ_BYTES = 4 << 20


@dataclass(frozen=True)
class _Seen:
    stamp: str
    since_s: float


class FolderOutputs:
    """The port `Outputs`. `folder` gives the working folder of the assignment at hand."""

    def __init__(self, runtime: Runtime, folder: Callable[[], Path]) -> None:
        self._runtime = runtime
        self._folder = folder
        self._seen: dict[str, _Seen] = {}

    def scan(self, patterns: tuple[str, ...], *, quiet: bool) -> tuple[OutputFile, ...]:
        root, now_s = self._folder(), self._runtime.monotonic_s()
        found: dict[str, OutputFile] = {}
        for path in _matches(root, patterns):
            name = path.relative_to(root).as_posix()
            try:
                info = path.stat()
            except OSError:
                continue  # it was deleted while we looked
            stamp = f"{info.st_ino} {info.st_size} {info.st_mtime_ns}"
            seen = self._seen.get(name)
            if seen is None or seen.stamp != stamp:
                seen = self._seen[name] = _Seen(stamp, now_s)
            if not quiet or now_s - seen.since_s >= QUIET_S:
                found[name] = OutputFile(name, info.st_size, stamp, FileSource(path, info.st_size))
        return tuple(found[name] for name in sorted(found))

    def has(self, path: str, size: int, digest: str) -> bool:
        target = self._target(path)
        try:
            if target.stat().st_size != size:
                return False
            hasher = Hasher()
            with target.open("rb") as file:
                while chunk := file.read(READ_BYTES):
                    hasher.update(chunk)
        except OSError:
            return False
        return hasher.text() == digest

    def write(self, path: str, chunks: Iterable[bytes | memoryview]) -> None:
        target = self._target(path)
        temp = target.with_name(f".{target.name}.outlast-new")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temp.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            os.replace(temp, target)
        except OSError as error:
            raise NodeTrouble("outputs", f"{target} can't be brought back: {error}") from error

    def _target(self, path: str) -> Path:
        pure = PurePosixPath(path)
        root = self._folder()
        target = root / pure
        inside = Path(os.path.realpath(target.parent)).is_relative_to(os.path.realpath(root))
        if pure.is_absolute() or ".." in pure.parts or not inside:
            raise NodeTrouble("outputs", f"the output {path!r} leads out of the working folder", fatal=True)
        return target


def _matches(root: Path, patterns: tuple[str, ...]) -> set[Path]:
    """Plain files; a folder means all that is in it. Links are not followed out of the folder."""
    found: set[Path] = set()
    for pattern in patterns:
        pure = PurePosixPath(pattern)
        if pure.is_absolute() or ".." in pure.parts:
            continue
        for path in root.glob(pattern.rstrip("/")):
            below = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
            found.update(file for file in below if _plain(file))
    return found


def _plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode) and not path.name.endswith(".outlast-new")
    except OSError:
        return False
