"""How tensors are spread over safetensors files; what never changes lies in files of its own. Pure."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FILE_BYTES_MAX = 1 << 30  # files are uploaded side by side, and named again one by one
HEADER_ROUND_BYTES = 4096  # tensors then begin at a block of the file, and of the arena
SUFFIX = ".safetensors"
WIDTHS = {
    "F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip


@dataclass(frozen=True)
class TensorSpec:
    """`dtype` by its name in safetensors; `group`: the stem of the file that it goes to."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    group: str

    @property
    def size(self) -> int:
        return WIDTHS[self.dtype] * math.prod(self.shape)


@dataclass(frozen=True)
class FileLayout:
    """One file: its header, then the tensors, each at its offset (bytes from the file's beginning)."""

    name: str
    group: str
    header: bytes
    tensors: tuple[tuple[TensorSpec, int], ...]
    size: int


def spread(specs: Iterable[TensorSpec], file_bytes_max: int = FILE_BYTES_MAX) -> tuple[FileLayout, ...]:
    """The same specs give the same files. A tensor larger than the limit has a file to itself."""
    groups: dict[str, list[TensorSpec]] = {}
    for spec in specs:
        groups.setdefault(spec.group, []).append(spec)
    files = []
    for group, members in groups.items():
        for number, part in enumerate(_parts(members, file_bytes_max), 1):
            name = f"{group}{'' if number == 1 else f'-{number}'}{SUFFIX}"
            files.append(_file(name, group, part))
    return tuple(files)


def _parts(specs: Sequence[TensorSpec], file_bytes_max: int) -> Iterable[list[TensorSpec]]:
    part: list[TensorSpec] = []
    size = 0
    for spec in specs:
        if part and size + spec.size > file_bytes_max:
            yield part
            part, size = [], 0
        part.append(spec)
        size += spec.size
    if part:
        yield part


def _file(name: str, group: str, specs: list[TensorSpec]) -> FileLayout:
    """Wide values first: then every tensor is aligned for its type."""
    ordered = sorted(specs, key=lambda spec: -WIDTHS[spec.dtype])
    table: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offsets, end = [], 0
    for spec in ordered:
        offsets.append(end)
        table[spec.name] = {
            "dtype": spec.dtype, "shape": list(spec.shape), "data_offsets": [end, end + spec.size]
        }  # fmt: skip
        end += spec.size
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % HEADER_ROUND_BYTES)
    header = struct.pack("<Q", len(text)) + text
    tensors = tuple((spec, len(header) + at) for spec, at in zip(ordered, offsets, strict=True))
    return FileLayout(name, group, header, tensors, len(header) + end)
