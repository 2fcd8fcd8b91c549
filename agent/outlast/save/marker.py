"""The marker of Outlast's own checkpoint folder: its name, its bytes, and what it vouches for. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from outlast.protocol.codec import dump, load

MARKER = "outlast.json"
FORMAT = 1
FOLDER = re.compile(r"step-(\d{9,})")
UNFINISHED_PREFIX = ".saving-"  # a temp folder on its way to being renamed


@dataclass(frozen=True)
class MarkedFile:
    path: str
    size: int
    hash: str = ""  # `<algorithm>:<hex>` of the bytes as they were in memory; "": not known


@dataclass(frozen=True)
class Marker:
    """Written last into the temp folder, before the folder is renamed: with it, the checkpoint is whole."""

    format: int
    step: int
    files: tuple[MarkedFile, ...]
    request: str = ""  # id of the save request that this save answers


def folder_name(step: int) -> str:
    return f"step-{step:09d}"


def step_of(name: str) -> int | None:
    match = FOLDER.fullmatch(name)
    return int(match.group(1)) if match else None


def marker_bytes(marker: Marker) -> bytes:
    return dump(marker)


def read_marker(body: bytes) -> Marker:
    """Raises FormatError."""
    return load(Marker, body)
