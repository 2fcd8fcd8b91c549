"""Small file systems of their own, to be filled or made read-only; they need root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

FILLING = "filling"
LABEL = "outlast-test-"  # and the pid of the tests


@dataclass(frozen=True)
class SmallDisk:
    folder: Path

    def fill(self) -> None:
        """Until not one byte more fits."""
        with (self.folder / FILLING).open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"\0" * size)

    def free(self) -> None:
        (self.folder / FILLING).unlink()

    def read_only(self) -> None:
        _mount("-o", "remount,ro", str(self.folder))

    def writable(self) -> None:
        _mount("-o", "remount,rw", str(self.folder))


@contextmanager
def small_disk(folder: Path, size: str = "4m") -> Iterator[SmallDisk]:
    """A file system of that size, mounted on a folder for the length of the block."""
    if os.geteuid() != 0:
        assert not os.environ.get("CI"), "in CI nothing is skipped: run as root"
        pytest.skip("a file system of its own can be mounted only as root: run the tests as root")
    _forget_leftovers()
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size},mode=0700", f"{LABEL}{os.getpid()}", str(folder))
    try:
        yield SmallDisk(folder)
    finally:
        _unmount(str(folder))


def _forget_leftovers() -> None:
    """Those of a test run that was killed: they would stay until the machine is started anew."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        label, folder = line.split()[:2]
        if label.startswith(LABEL) and not Path(f"/proc/{label.removeprefix(LABEL)}").exists():
            _unmount(folder, sure=False)  # another worker may be at it too


def _unmount(folder: str, *, sure: bool = True) -> None:
    subprocess.run(["umount", "--lazy", folder], check=sure, capture_output=True)


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"mount {' '.join(words)}: {done.stderr}"
