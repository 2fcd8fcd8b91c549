"""Trainers forked from a process that has imported their framework once: see zygote.py."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ZYGOTE = Path(__file__).with_name("zygote.py")
END_LIMIT_S = 120.0
QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}


class Zygote:
    """`imports` is the code that loads the framework; `folder` takes the log."""

    def __init__(self, imports: str, folder: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAST_")}
        self.env = {**kept, **QUIET}
        with (folder / "zygote.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", str(ZYGOTE), imports], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log, env=self.env, text=True,
            )  # fmt: skip
        assert self._line() == "ready", (folder / "zygote.log").read_text()

    def fork(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path) -> int:
        """Starts `python argv…`; returns its process id. Its output goes to the end of `log`."""
        code_file(log).unlink(missing_ok=True)
        order = {"argv": [*argv], "env": {**self.env, **env}, "cwd": str(cwd), "log": str(log)}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._line())

    def run(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path) -> int:
        """As `fork`, to its end; returns what it ended with: its exit code, or minus SIGKILL."""
        return ended(self.fork(argv, env, cwd, log), log)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(END_LIMIT_S)
        self._process.stdout.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def code_file(log: Path) -> Path:
    """Where a forked trainer leaves its exit code, if it lives to its end."""
    return log.with_name(log.name + ".code")


def ended(pid: int, log: Path) -> int:
    """Waits for a forked trainer. Who left no code was killed: nothing else ends it without."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        handle = -1  # over and reaped already
    if handle >= 0:
        try:
            readable, _, _ = select.select([handle], [], [], END_LIMIT_S)
        finally:
            os.close(handle)
        if not readable:
            os.killpg(pid, signal.SIGKILL)
            raise AssertionError(f"it did not end within {END_LIMIT_S:.0f} s:\n{log.read_text()}")
    try:
        return int(code_file(log).read_text())
    except FileNotFoundError:
        return -signal.SIGKILL


@contextmanager
def zygote_of(imports: str, folder: Path) -> Iterator[Zygote]:
    zygote = Zygote(imports, folder)
    try:
        yield zygote
    finally:
        zygote.close()
