"""Packs the working folder, so that the same content has the same name wherever it was packed."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import stat
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import zstandard

from outlast.protocol.objects import code_key
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.jobfile.git import archive
from outlast_orchestrator.jobfile.ignore import Ignore
from outlast_orchestrator.jobfile.load import JobFile

PACK_BYTES_MAX = 256 << 20  # of content, before compression
PACK_ENTRIES_MAX = 50_000
_BIGGEST_SHOWN = 3
_LEVEL = 6


@dataclass(frozen=True)
class Packed:
    """A packed folder. `digest` is the SHA-256 of the tar before compression, for compressors differ."""

    digest: str
    body: bytes
    files: int
    bytes: int

    @property
    def key(self) -> str:
        return code_key(self.digest)


def pack_workdir(jobfile: JobFile) -> Packed | None:
    """The job's working folder, or None when it has none. Raises UserError."""
    git, folder = jobfile.git, jobfile.folder
    if git is not None:
        with archive(git) as tar:
            return _pack(list(_from_tar(tar)), f"{git.repository}@{git.commit}", jobfile.script)
    if folder is not None:
        checkpoints = posixpath.normpath(jobfile.spec.checkpoint.dir)
        entries = list(_from_folder(folder, Ignore(folder, frozenset({checkpoints}))))
        return _pack(entries, str(folder), jobfile.script)
    return None


@dataclass(frozen=True)
class _Entry:
    """Something to pack: a file (its content in `opens`), a link with its target, or an empty folder."""

    path: str
    size: int = 0
    executable: bool = False
    link: str | None = None
    folder: bool = False
    opens: Callable[[], IO[bytes]] = io.BytesIO


def _pack(entries: list[_Entry], source: str, script: str | None) -> Packed:
    _check_size(entries, source)
    _check_script(entries, source, script)
    body = io.BytesIO()
    with zstandard.ZstdCompressor(level=_LEVEL).stream_writer(body, closefd=False) as compressed:
        raw = _Hashing(compressed)
        with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar:
            for entry in sorted(entries, key=lambda e: e.path.encode()):
                _add(tar, entry, source)
    files = sum(1 for entry in entries if not entry.folder)
    return Packed(raw.digest.hexdigest(), body.getvalue(), files, sum(entry.size for entry in entries))


class _Hashing(io.BytesIO):
    """A file for tarfile to write to: hashes what passes and hands it on to the compressor, keeps nothing."""

    def __init__(self, through: zstandard.ZstdCompressionWriter) -> None:
        super().__init__()
        self.digest = hashlib.sha256()
        self._through = through
        self._written = 0

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self._through.write(data)
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written


def _add(tar: tarfile.TarFile, entry: _Entry, source: str) -> None:
    info = tarfile.TarInfo(entry.path)
    info.mode = 0o755 if entry.executable or entry.folder else 0o644
    if entry.link is not None:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        tar.addfile(info)
        return
    if entry.folder:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
        return
    info.size = entry.size
    try:
        with entry.opens() as content:
            tar.addfile(info, content)
            grown = bool(content.read(1))
    except OSError as error:
        text = f"{source}: {entry.path} can't be packed: {error}; mend it, or name it in .gitignore"
        raise UserError(text) from error
    if grown:
        raise UserError(f"{source}: {entry.path} is being written to; name it in .gitignore, or wait")


def _from_folder(root: Path, ignore: Ignore) -> Iterator[_Entry]:
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        ignore.enter(folder)
        try:
            found = sorted(os.scandir(folder), key=lambda e: e.name)
        except OSError as error:
            raise UserError(f"{folder}: can't be read: {error.strerror}; name it in .gitignore") from error
        if not found and folder != root:
            yield _Entry(_name(folder.relative_to(root).as_posix(), root), folder=True)
        for item in found:
            path = Path(item.path)
            is_folder = item.is_dir(follow_symlinks=False)
            if ignore.leaves_out(path, is_folder=is_folder):
                continue
            if is_folder:
                waiting.append(path)
            else:
                yield _entry(path, root)


def _entry(path: Path, root: Path) -> _Entry:
    name = _name(path.relative_to(root).as_posix(), root)
    try:
        info = path.lstat()
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}; name it in .gitignore") from error
    if stat.S_ISLNK(info.st_mode):
        return _Entry(name, link=_inside(name, os.readlink(path), str(root)))
    if not stat.S_ISREG(info.st_mode):
        raise UserError(f"{path}: is neither a file nor a folder nor a link; name it in .gitignore")
    executable = bool(info.st_mode & stat.S_IXUSR)
    return _Entry(name, size=info.st_size, executable=executable, opens=lambda: path.open("rb"))


def _from_tar(tar: tarfile.TarFile) -> Iterator[_Entry]:
    source = "the repository"
    for info in tar:
        name = _name(info.name, source)
        if info.issym():
            yield _Entry(name, link=_inside(name, info.linkname, source))
        elif info.isfile():
            executable = bool(info.mode & stat.S_IXUSR)
            content = tar.extractfile(info)
            assert content is not None
            yield _Entry(name, size=info.size, executable=executable, opens=partial(_whole, content))


def _whole(content: IO[bytes]) -> IO[bytes]:
    return io.BytesIO(content.read())


def _name(name: str, source: Path | str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(f"{source}: the name {name!r} is not UTF-8; rename it, or ignore it") from None
    return name


def _inside(name: str, target: str, source: str) -> str:
    """The target of a link that stays in the folder, also when the folder lies somewhere else."""
    _name(target, source)
    end = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    if target.startswith("/") or end == ".." or end.startswith("../"):
        text = f"{source}: the link {name} points outside the working folder, to {target}"
        raise UserError(f"{text}; copy what it names into the folder, or name the link in .gitignore")
    return target


def _check_script(entries: list[_Entry], source: str, script: str | None) -> None:
    if script is None:
        return
    path = posixpath.normpath(script)
    found = any(e.path == path or (e.link is not None and path.startswith(e.path + "/")) for e in entries)
    if not found:
        raise UserError(f"{source}: {path}, which run starts, is not packed; mend .gitignore or run")


def _check_size(entries: list[_Entry], source: str) -> None:
    total = sum(entry.size for entry in entries)
    if total > PACK_BYTES_MAX:
        by_top: Counter[str] = Counter()
        for entry in entries:
            by_top[entry.path.partition("/")[0]] += entry.size
        shown = ", ".join(f"{n} ({size >> 20} MiB)" for n, size in by_top.most_common(_BIGGEST_SHOWN))
        limit = f"{total >> 20} MiB are too much to send with every job (limit {PACK_BYTES_MAX >> 20} MiB)"
        raise UserError(f"{source}: {limit}; the biggest: {shown}; name data in .gitignore")
    if len(entries) > PACK_ENTRIES_MAX:
        counts = Counter(entry.path.partition("/")[0] for entry in entries)
        shown = ", ".join(f"{n} ({count})" for n, count in counts.most_common(_BIGGEST_SHOWN))
        limit = f"{len(entries)} files are too many to send with every job (limit {PACK_ENTRIES_MAX})"
        raise UserError(f"{source}: {limit}; the most are in {shown}; name data in .gitignore")
