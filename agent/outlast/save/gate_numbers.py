"""Looks for NaN and infinity in a safetensors file, with nothing but the standard library."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from outlast.save.structure import Read, safetensors_header

CHUNK_BYTES = 4 << 20
SAMPLE_BYTES = 64 << 10

# (bytes of a value, mask of its highest byte, mask of the byte below): a little-endian value is not
# finite exactly when all bits of both masks are set. Finite values nearly never have the first mask set,
# so that one filter over every n-th byte, at the speed of C, settles almost every chunk.
FORMATS = {
    "F64": (8, 0x7F, 0xF0),
    "F32": (4, 0x7F, 0x80),
    "BF16": (2, 0x7F, 0x80),
    "F16": (2, 0x7C, 0),
    "F8_E5M2": (1, 0x7C, 0),
    "F8_E4M3": (1, 0x7F, 0),
}
SUSPICIOUS = {
    mask: bytes(int(value & mask == mask) for value in range(256))
    for mask in {m for _, m, _ in FORMATS.values()}
}


@dataclass(frozen=True)
class Numbers:
    """What was found in one file. `not_finite`: names of tensors, numbers in them replaced by `#`."""

    tensors: int
    sampled: bool
    not_finite: tuple[str, ...] = ()


def pattern(name: str) -> str:
    """One word for a tensor and its siblings of other layers."""
    return re.sub(r"\d+", "#", name)


def not_finite(dtype: str, data: bytes) -> bool:
    """Whether a value in `data` is NaN or infinite. False for formats that hold no such values."""
    if dtype not in FORMATS:
        return False
    width, high, low = FORMATS[dtype]
    marks = data[width - 1 :: width].translate(SUSPICIOUS[high])
    at = marks.find(1)
    if at < 0:
        return False
    if low == 0:
        return True
    below = data[width - 2 :: width]
    while at >= 0:
        if below[at] & low == low:
            return True
        at = marks.find(1, at + 1)
    return False


def look(size: int, read: Read, limit_bytes: int) -> Numbers:
    """Every value if the floating-point tensors have `limit_bytes` or less, else spread samples of each.

    Raises NotWhole, OSError.
    """
    header = safetensors_header(size, read)
    tensors = {name: entry for name, entry in header.items() if entry.get("dtype") in FORMATS}
    total = sum(_bytes(entry) for entry in tensors.values())
    share = 1.0 if total <= limit_bytes else limit_bytes / total
    bad = {pattern(name) for name, entry in tensors.items() if _is_bad(entry, read, share)}
    return Numbers(len(tensors), share < 1.0, tuple(sorted(bad)))


def _bytes(entry: dict[str, Any]) -> int:
    begin, end = entry["data_offsets"]
    return int(end) - int(begin)


def _is_bad(entry: dict[str, Any], read: Read, share: float) -> bool:
    dtype, (begin, end) = str(entry["dtype"]), entry["data_offsets"]
    width = FORMATS[dtype][0]
    step = CHUNK_BYTES if share >= 1.0 else max(SAMPLE_BYTES, int(SAMPLE_BYTES / share) // width * width)
    length = CHUNK_BYTES if share >= 1.0 else SAMPLE_BYTES
    return any(
        not_finite(dtype, bytes(read(offset, min(length, end - offset))))
        for offset in range(begin, end, step)
    )
