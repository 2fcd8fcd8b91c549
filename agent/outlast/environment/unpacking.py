"""Unpacks packs as they arrive, several at once, into a folder that nobody uses yet."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import xxhash

from outlast.bucket.environments import BadEnvironment, Record
from outlast.environment.listing import FILE, FOLDER, LINK, NAME, Item
from outlast.environment.packs import Piece, decode
from outlast.fetch import Unusable
from outlast.protocol.objects import FileEntry
from outlast.sink import Chunk

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Unpacker:
    """A taker of `fetch_pieces`. Links come last, so that nothing is ever written through one."""

    def __init__(self, root: Path, arrived: Callable[[int], None]) -> None:
        """`root` is empty. `arrived` is told the bytes of files that were unpacked since it was told last."""
        self._root = root
        self._arrived = arrived
        self._lock = threading.Lock()
        self._files: dict[str, int] = {}  # the bytes of each that are there
        self._later: list[Item] = []  # folders and links, and files that are spread over packs

    def read(self, entry: FileEntry, offset: int, length: int) -> Iterator[Chunk]:
        del entry, offset, length
        return iter(())

    def write(self, entry: FileEntry, offset: int, chunks: Iterator[Chunk]) -> int:
        """Nothing is unpacked of a pack that is not the right one: its size or hash then tells the caller."""
        del offset
        packed = b"".join(bytes(chunk) for chunk in chunks)
        if xxhash.xxh3_128_hexdigest(packed) == entry.hash.partition(":")[2]:
            try:
                done = sum(self._take(piece, body) for piece, body in decode(packed))
            except BadEnvironment as error:
                raise Unusable(f"{entry.key}: {error}") from error
            with self._lock:
                self._arrived(done)
        return len(packed)

    def _take(self, piece: Piece, body: memoryview) -> int:
        item = piece.item
        whole = piece.length == item.size
        if item.kind != FILE or not whole:
            with self._lock:
                self._later.append(item)
        if item.kind != FILE:
            return 0
        descriptor = self._open(self._root / item.path)
        try:
            done = 0
            while done < len(body):
                done += os.pwrite(descriptor, body[done:], piece.offset + done)
            if whole:
                _finish(descriptor, item)
        finally:
            os.close(descriptor)
        with self._lock:
            self._files[item.path] = self._files.get(item.path, 0) + piece.length
        return piece.length

    def _open(self, path: Path) -> int:
        try:
            return os.open(path, _WRITE, 0o600)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, _WRITE, 0o600)

    def finish(self, record: Record) -> None:
        """All packs have come: folders, links and times. Raises OSError, Unusable: something is missing."""
        folders = sorted({item.path: item for item in self._later if item.kind == FOLDER}.items())
        for path, _ in folders:
            (self._root / path).mkdir(parents=True, exist_ok=True)
        spread = {item.path: item for item in self._later if item.kind == FILE}
        for item in spread.values():
            descriptor = self._open(self._root / item.path)
            try:
                _finish(descriptor, item)
            finally:
                os.close(descriptor)
        links = [self._link(item) for item in self._later if item.kind == NAME]
        links += [self._link(item) for item in self._later if item.kind == LINK]
        for path, item in reversed(folders):
            os.chmod(self._root / path, item.mode)
        found = (len(self._files) + len(links), sum(self._files.values()))
        if found != (record.files, record.bytes):
            said = f"{record.files} files of {record.bytes} bytes"
            raise Unusable(f"{found[0]} files of {found[1]} bytes came instead of {said}")

    def _link(self, item: Item) -> str:
        path = self._root / item.path
        if item.kind == LINK:
            os.symlink(item.target, path)
        elif not stat.S_ISREG((self._root / item.target).lstat().st_mode):
            raise OSError(errno.EINVAL, "is no file", item.target)
        else:
            os.link(self._root / item.target, path, follow_symlinks=False)
        return item.path


def _finish(descriptor: int, item: Item) -> None:
    """What Python derived of a file is only used as long as its time is the same."""
    os.fchmod(descriptor, item.mode)
    os.utime(descriptor, ns=(item.mtime_ns, item.mtime_ns))
