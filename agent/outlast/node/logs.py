"""What is printed on the node, in one local file: written straight by the trainer, read by the log task."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from outlast.node.secrets import begun, hide

TAIL_BYTES = 8 << 10
TAIL_LINES = 30


class FileLog:
    """The trainer writes into the file itself, so a frozen or restarted agent never holds it up."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "output.log"
        self._mark = folder / "shipped"
        self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()  # two tasks may say a line at once
        self._offset = self._read_mark()
        self._hidden: tuple[bytes, ...] = ()

    def hide(self, values: tuple[bytes, ...]) -> None:
        """These are shown to nobody from now on; the file on this machine holds what was printed."""
        self._hidden = values

    def say(self, line: str) -> None:
        with self._lock, suppress(OSError):
            os.write(self.descriptor, f"[outlast] {line}\n".encode())

    def peek(self, limit_bytes: int) -> bytes:
        try:
            data = os.pread(self.descriptor, limit_bytes, self._offset)
        except OSError:
            return b""
        if len(data) == limit_bytes and (end := data.rfind(b"\n")) > limit_bytes // 2:
            data = data[: end + 1]  # whole lines, where there are any
        return hide(data[: len(data) - begun(data, self._hidden)], self._hidden)

    def shipped(self, count: int) -> None:
        self._offset += count
        with suppress(OSError):  # without the mark, a restarted agent ships some lines twice
            self._mark.write_text(str(self._offset))

    def tail(self) -> str:
        try:
            size = os.fstat(self.descriptor).st_size
            data = os.pread(self.descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
        except OSError:
            return ""
        lines = hide(data, self._hidden).decode(errors="replace").splitlines()
        return "\n".join([line for line in lines if not line.startswith("[outlast] ")][-TAIL_LINES:])

    def _read_mark(self) -> int:
        try:
            offset = int(self._mark.read_text())
        except (OSError, ValueError):
            return 0
        return offset if offset <= os.fstat(self.descriptor).st_size else 0
