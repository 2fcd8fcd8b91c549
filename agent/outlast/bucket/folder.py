"""A folder as a bucket: the rules of an object store kept by rename, link, fsync and flock."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import xxhash

from outlast.bucket.folder_files import sweep, sync_folder, version_of, write_all
from outlast.bucket.keys import TooBig, check_key
from outlast.clock import pause
from outlast.ports import Blob, Conflict, Denied, Exists, Missing, ObjectInfo, Source, Unsure
from outlast.protocol.limits import MANIFEST_BYTES_MAX

OWN_FOLDER = ".outlast"  # lock files and unfinished writes; no object's key may begin with it
LOCKS = 256  # lock files, by the hash of the key; they stay for ever
LOCK_POLL_S = 0.005
LOCK_TRIES = 2_000  # ten seconds: a frozen holder must not freeze the others
PLACE_TRIES_MAX = 20  # a folder that another process empties and removes meanwhile is made anew
CHUNK_BYTES = 8 << 20
FILE_MODE = 0o644

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class _SourceFailed(Exception):
    """The file to upload could not be read."""


class FolderBucket:
    """Objects are files under `root`. Everything is durable when a call returns."""

    def __init__(self, root: str, lock_tries: int = LOCK_TRIES) -> None:
        self._root = Path(root)
        self._own = self._root / OWN_FOLDER
        self._lock_tries = lock_tries
        self._swept = False
        self._owed: set[Path] = set()  # folders with an entry that could not be made durable
        self._owing = threading.Lock()

    def get(self, key: str) -> Blob:
        path = self._path(key)
        with self._errors(key, "read"), self._settled(path).open("rb") as file:
            if os.fstat(file.fileno()).st_size > MANIFEST_BYTES_MAX:
                raise TooBig(f"{key}: too large to be read in one piece")
            body = file.read()
            return Blob(body, version_of(os.fstat(file.fileno()).st_mtime_ns, body))

    def create(self, key: str, body: bytes) -> str:
        path = self._path(key)
        with self._errors(key, "create"), self._temporary() as (fd, temp):
            write_all(fd, body)
            os.fsync(fd)
            try:
                self._place(temp, path, os.link)
            except FileExistsError:
                sync_folder(path.parent)  # who finds its own object here goes on from it
                raise
            return version_of(os.fstat(fd).st_mtime_ns, body)

    def replace(self, key: str, body: bytes, version: str) -> str:
        path = self._path(key)
        with self._errors(key, "replace"), self._temporary() as (fd, temp):
            write_all(fd, body)
            with self._locked(key):
                try:
                    found = self.get(key)
                except Missing as error:
                    raise Conflict(f"{key}: it is gone") from error
                if found.version != version:
                    raise Conflict(f"{key}: it has changed meanwhile")
                # Strictly growing times make two versions differ even when their bytes do not.
                before_ns = path.stat().st_mtime_ns
                mine_ns = max(os.fstat(fd).st_mtime_ns, before_ns + 1)
                os.utime(fd, ns=(mine_ns, mine_ns))
                os.fsync(fd)
                self._place(temp, path, os.rename)
                return version_of(os.fstat(fd).st_mtime_ns, body)

    def put(self, key: str, body: bytes) -> None:
        path = self._path(key)
        with self._errors(key, "write"), self._temporary() as (fd, temp):
            write_all(fd, body)
            os.fsync(fd)
            self._place(temp, path, os.rename)

    def upload(self, key: str, source: Source, wrote: Callable[[int], None]) -> None:
        path = self._path(key)
        try:
            with self._errors(key, "upload"), self._temporary() as (fd, temp):
                self._upload(path, source, wrote, fd, temp)
        except _SourceFailed as failed:
            # Not the bucket's fault: the caller gets its own OSError.
            raise (failed.__cause__ or failed) from None

    def _upload(self, path: Path, source: Source, wrote: Callable[[int], None], fd: int, temp: str) -> None:
        done = 0
        while done < source.size:
            try:
                chunk = source.read(done, min(CHUNK_BYTES, source.size - done))
            except OSError as error:
                raise _SourceFailed from error
            write_all(fd, chunk)
            done += len(chunk)
            wrote(done)
        os.fsync(fd)
        try:
            self._place(temp, path, os.link)
        except FileExistsError:
            # The key is used by one content only, so this is an earlier try of the same upload.
            if path.stat().st_size != source.size:
                raise
            sync_folder(path.parent)

    def stream(self, key: str, offset: int, length: int) -> Iterator[bytes]:
        path = self._path(key)
        with self._errors(key, "read"), path.open("rb") as file:
            file.seek(offset)
            left = length
            while left > 0:
                chunk = file.read(min(CHUNK_BYTES, left))
                if not chunk:
                    return
                left -= len(chunk)
                yield chunk

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        start, _, _ = prefix.rpartition("/")
        if start:
            check_key(start)
        with self._errors(prefix, "list"):
            found = [entry for entry in self._walk(start) if entry[0].startswith(prefix)]
        for key, stat in sorted(found, key=lambda entry: entry[0].encode()):
            yield ObjectInfo(key, stat.st_size, f"{stat.st_mtime_ns:x}")

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._errors(key, "delete"):
            with suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
            self._require_root()
            for folder in path.parents[: len(key.split("/")) - 1]:
                with suppress(OSError):
                    folder.rmdir()  # what is not empty stays

    # how it is done

    def _path(self, key: str) -> Path:
        check_key(key)
        if key.split("/", 1)[0] == OWN_FOLDER:
            raise Denied(f"the key {key!r} is not allowed: {OWN_FOLDER}/ is the bucket's own")
        return self._root / key

    def _walk(self, start: str) -> Iterator[tuple[str, os.stat_result]]:
        self._require_root()
        waiting = [start]
        while waiting:
            folder = waiting.pop()
            try:
                entries = list(os.scandir(self._root / folder))
            except (FileNotFoundError, NotADirectoryError):
                continue  # never was, or was emptied and removed while this walk went on
            for entry in entries:
                key = f"{folder}/{entry.name}" if folder else entry.name
                if key == OWN_FOLDER:
                    continue
                with suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(key)
                    elif entry.is_file():
                        yield key, entry.stat()

    def _place(self, temp: str, path: Path, put: Callable[[str, Path], object]) -> None:
        """Gives a finished file its name. Raises FileExistsError from os.link."""
        for _ in range(PLACE_TRIES_MAX):
            self._make_folder(self._settled(path).parent)
            try:
                put(temp, path)
            except FileNotFoundError:
                continue
            self._sync(path.parent)
            return
        raise Unsure(f"{path}: its folder is removed again and again")

    def _make_folder(self, folder: Path) -> None:
        if folder == self._root or folder.is_dir():
            return
        self._make_folder(folder.parent)
        with suppress(FileExistsError, FileNotFoundError):
            folder.mkdir()
            self._sync(folder.parent)

    def _sync(self, folder: Path) -> None:
        """What was named in it is durable on return; if that fails, the folder owes it."""
        try:
            sync_folder(folder)
        except OSError:
            with self._owing:
                self._owed.add(folder)
            raise

    def _settled(self, path: Path) -> Path:
        """A name whose folder could not be synced is found again by whoever wrote it, and then it counts: so
        nothing is read there, and nothing built on it, before it is durable."""
        if self._owed:
            with self._owing:  # a name that comes while another thread syncs would be taken for one it synced
                for folder in self._owed.intersection(path.parents):
                    with suppress(FileNotFoundError):  # emptied and removed meanwhile
                        sync_folder(folder)
                    self._owed.discard(folder)
        return path

    @contextmanager
    def _temporary(self) -> Iterator[tuple[int, str]]:
        """A locked, unnamed-to-the-world file. The lock tells a living writer from a dead one's litter."""
        folder = self._own_folder("unfinished")
        if not self._swept:
            self._swept = True
            sweep(folder)
        while True:
            fd, temp = tempfile.mkstemp(dir=folder)
            os.fchmod(fd, FILE_MODE)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                break
            os.close(fd)  # swept before it was locked
        try:
            yield fd, temp
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temp)
            os.close(fd)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """The kernel releases the lock when its holder dies, however it dies."""
        path = self._own_folder("locks") / f"{xxhash.xxh3_64_intdigest(key.encode()) % LOCKS:02x}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            for _ in range(self._lock_tries):
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    pause(LOCK_POLL_S)
            else:
                raise Unsure(f"{key}: another process holds {path} and does not let go")
            yield
        finally:
            os.close(fd)

    def _own_folder(self, name: str) -> Path:
        self._require_root()
        folder = self._own / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _require_root(self) -> None:
        # An absent root is an absent bucket, never a bucket without objects: a file system that is not
        # mounted must not look like a job that never saved.
        if not self._root.is_dir():
            raise Denied(f"the bucket's folder {self._root} does not exist: create or mount it")

    @contextmanager
    def _errors(self, key: str, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._raise(key, verb, error)

    def _raise(self, key: str, verb: str, error: OSError) -> NoReturn:
        if isinstance(error, FileExistsError):
            raise Exists(f"{key}: exists already") from error
        self._require_root()
        clash = isinstance(error, (IsADirectoryError, NotADirectoryError))
        if isinstance(error, FileNotFoundError) or (clash and verb == "read"):
            raise Missing(f"{key}: there is no such object") from error
        if clash:
            raise Denied(f"{key}: a part of its path is used otherwise in {self._root}") from error
        if error.errno in _FULL:
            raise Unsure(
                f"{key}: could not {verb}: the disk of {self._root} is full; free some space"
            ) from error
        if error.errno in _REFUSED:
            raise Denied(
                f"{key}: could not {verb}: {error.strerror}; is {self._root} writable for this user?"
            ) from error
        raise Unsure(f"{key}: could not {verb}: {error.strerror or error}") from error
