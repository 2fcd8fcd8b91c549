"""Files that hold secrets: whole or not at all, and for this user only."""

from __future__ import annotations

import os
from pathlib import Path

from outlast_orchestrator.core.ports import Clock

KEY_BYTES = 32
KEY_FILE = "node.key"


def write_private(file: Path, text: str) -> None:
    fresh = file.with_name(file.name + ".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    fresh.replace(file)


def read_key(home: Path) -> str:
    """The key that the nodes' tokens follow from; "" when there is none."""
    file = home / KEY_FILE
    return file.read_text().strip() if file.exists() else ""


def node_key(home: Path, clock: Clock) -> bytes:
    """Made once."""
    if not read_key(home):
        write_private(home / KEY_FILE, clock.token(KEY_BYTES))
    return bytes.fromhex(read_key(home))
