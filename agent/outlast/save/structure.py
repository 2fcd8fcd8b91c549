"""Whether a file is whole by its own format: safetensors by its header, zip archives by their directory."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

HEADER_BYTES_MAX = 100 << 20  # what the safetensors library itself accepts
ZIP_TAIL_BYTES = (64 << 10) + 22  # the longest comment and the record it follows

Read = Callable[[int, int], bytes | memoryview]


class NotWhole(Exception):
    """The file is cut off or mangled; the message says where."""


def reader(descriptor: int) -> Read:
    def read(offset: int, length: int) -> bytes:
        return os.pread(descriptor, length, offset)

    return read


def trouble(path: Path, size: int) -> str:
    """Why the file at `path` is not whole, or "" (which says nothing about formats without a mark)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return trouble_of(path.name, size, reader(descriptor))
    finally:
        os.close(descriptor)


def trouble_of(name: str, size: int, read: Read) -> str:
    try:
        if name.endswith(".safetensors"):
            safetensors_header(size, read)
        elif name.endswith((".pt", ".pth", ".bin", ".ckpt", ".pkl")):
            _check_torch(size, read)
        elif name.endswith(".index.json"):
            json.loads(bytes(read(0, size)))
    except NotWhole as error:
        return str(error)
    except (UnicodeDecodeError, json.JSONDecodeError):
        return "not whole JSON"
    return ""


def safetensors_header(size: int, read: Read) -> dict[str, Any]:
    """Name → {dtype, shape, data_offsets (of the file)}. Raises NotWhole."""
    if size < 8:
        raise NotWhole(f"{size} bytes are too few for a safetensors header")
    (length,) = struct.unpack("<Q", bytes(read(0, 8)))
    if length > HEADER_BYTES_MAX or 8 + length > size:
        raise NotWhole(f"the safetensors header says {length} bytes, the file has {size}")
    try:
        header = json.loads(bytes(read(8, length)))
        tensors = {name: dict(entry) for name, entry in header.items() if name != "__metadata__"}
        end = 0
        for entry in tensors.values():
            begin, stop = entry["data_offsets"]
            entry["data_offsets"] = (8 + length + begin, 8 + length + stop)
            end = max(end, stop)
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotWhole(f"the safetensors header can't be read: {error}") from error
    if size != 8 + length + end:
        raise NotWhole(f"by its header the file has {8 + length + end} bytes, but it has {size}")
    return tensors


def _check_torch(size: int, read: Read) -> None:
    head = bytes(read(0, min(size, 8)))
    if size == 0:
        raise NotWhole("empty")
    if not head.strip(b"\0"):
        raise NotWhole("begins with zeros")
    if head.startswith(b"PK\x03\x04"):
        _check_zip(size, read)


def _check_zip(size: int, read: Read) -> None:
    start = max(0, size - ZIP_TAIL_BYTES)
    tail = bytes(read(start, size - start))
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + 22 > len(tail):
        raise NotWhole("the archive has no end record: it is cut off")
    directory_size, directory_at, comment = struct.unpack("<IIH", tail[at + 12 : at + 22])
    if at + 22 + comment != len(tail):
        raise NotWhole("bytes follow the archive's end record")
    end = start + at
    if 0xFFFFFFFF in (directory_size, directory_at):
        if at < 20 or tail[at - 20 : at - 16] != b"PK\x06\x07":
            raise NotWhole("the archive's 64-bit end record is missing")
        (record_at,) = struct.unpack("<Q", tail[at - 12 : at - 4])
        record = bytes(read(record_at, 56)) if record_at + 56 <= size else b""
        if record[:4] != b"PK\x06\x06":
            raise NotWhole("the archive's 64-bit end record is not where it should be")
        directory_size, directory_at = struct.unpack("<QQ", record[40:56])
    if directory_at + directory_size > end or bytes(read(directory_at, 4)) != b"PK\x01\x02":
        raise NotWhole("the archive's directory is not where the end record says")
