"""Wheels made here, so that `pip install` needs no network."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path


def make_wheel(
    folder: Path, name: str, files: Mapping[str, bytes], scripts: Mapping[str, str] | None = None
) -> Path:
    """A wheel of pure Python, version 1. `files` by path; `scripts`: command → module:function."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-1.dist-info"
    body = dict(files)
    body[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n".encode()
    body[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    if scripts:
        lines = "".join(f"{command} = {place}\n" for command, place in scripts.items())
        body[f"{info}/entry_points.txt"] = f"[console_scripts]\n{lines}".encode()
    record = "".join(f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in body.items())
    body[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path, content in body.items():
            archive.writestr(path, content)
    return wheel


def install_from(folder: Path, *names: str) -> str:
    """The command that installs them and nothing else."""
    return f"pip install --quiet --no-index --find-links {folder} {' '.join(names)}"


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
