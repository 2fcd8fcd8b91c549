"""Files as the uploader reads them: stable ones by path, and the trainer's own under guard."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

from outlast.save.found import FoundFile

MADV_POPULATE_READ = 22
UNMAPPABLE = (errno.EINVAL, errno.ENODEV, errno.ENOSYS, errno.EOPNOTSUPP)  # an older kernel, an odd disk


class SourceChanged(OSError):
    """A file changed while it was being read: nothing that was read of it may be used."""


class FileSource:
    """A file that nobody changes any more. Opened anew for every part: there may be thousands of files."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, length: int) -> bytes | memoryview:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return read_exactly(descriptor, offset, length, self.path)
        finally:
            os.close(descriptor)


class MappedSource(FileSource):
    """A file that is ours alone, read without copying it: what is sent is the kernel's own cache of it.

    Each part is mapped by itself and brought in at once, which turns a disk that fails into an OSError;
    touched page by page it would be a signal that ends the agent, and the trainer with it.
    """

    def read(self, offset: int, length: int) -> bytes | memoryview:
        if length == 0:
            return b""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_size < offset + length:
                raise SourceChanged(f"{self.path} is shorter than {offset + length} bytes")
            ahead = offset % mmap.ALLOCATIONGRANULARITY
            try:
                mapped = mmap.mmap(
                    descriptor, length + ahead, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset - ahead
                )
                mapped.madvise(MADV_POPULATE_READ)
            except OSError as error:
                if error.errno in UNMAPPABLE:
                    return read_exactly(descriptor, offset, length, self.path)
                if error.errno == errno.EFAULT:  # how the kernel says here that the disk did not give it
                    raise OSError(errno.EIO, os.strerror(errno.EIO), str(self.path)) from error
                raise
            return memoryview(mapped)[ahead:]
        finally:
            os.close(descriptor)


class GuardedSource(FileSource):
    """The trainer's own file, held open so that deleting it takes nothing away, checked at every read."""

    def __init__(self, file: FoundFile) -> None:
        super().__init__(file.at, file.size)
        self._descriptor = os.open(file.at, os.O_RDONLY | os.O_CLOEXEC)
        self._file = file
        self._check()

    def read(self, offset: int, length: int) -> bytes:
        data = read_exactly(self._descriptor, offset, length, self.path)
        self._check()  # afterwards: what was read before a change is whole, what was read after is not
        return data

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _check(self) -> None:
        if not self._file.same(os.fstat(self._descriptor)):
            raise SourceChanged(f"{self.path} changed while it was being read")


def read_exactly(descriptor: int, offset: int, length: int, path: Path) -> bytes:
    """Raises SourceChanged when the file ends before that."""
    data = os.pread(descriptor, length, offset)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), offset + len(data))
        if not more:
            raise SourceChanged(f"{path} ends at {offset + len(data)}, {offset + length} bytes were expected")
        data += more
    return data
