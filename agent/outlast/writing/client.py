"""The trainer's end of its writer process: started on the first save, and again if it died."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import xxhash

import outlast
from outlast.protocol.codec import FormatError
from outlast.writing.arena import Arena
from outlast.writing.plan import NO_MORE, SavePlan, SaveResult, line_of, read_result

READ_BYTES = 1 << 16
# Isolated and without site-packages: nothing in the trainer's folder or environment gets between, and it
# starts at once. The two packages that it needs are told by their folders, behind the standard library.
PROGRAM = (
    "import json, sys; sys.path += json.loads(sys.argv[1]); from outlast.writing.process import main; main()"
)
GONE = "the writer process ended before it had finished"


class Writer:
    """One plan at a time: the arena must not change while it is written. Never used after a fork."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""
        self._owner = os.getpid()
        self.plan: SavePlan | None = None  # under way

    def submit(self, plan: SavePlan) -> None:
        """Raises OSError: the process can't be started."""
        assert self.plan is None, "one plan at a time"
        if self._process is None or self._process.poll() is not None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        self.plan = plan
        with suppress(BrokenPipeError):  # it died just now: the next poll says so
            _write_all(self._process.stdin.fileno(), line_of(plan))

    def poll(self, timeout_s: float | None = 0.0) -> SaveResult | None:
        """The result of the plan under way, once; None while there is none yet. None waits for ever."""
        if self.plan is None or self._process is None:
            return None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._heard:
            ready, _, _ = select.select([descriptor], [], [], timeout_s)
            if not ready:
                return None
            more = os.read(descriptor, READ_BYTES)
            if not more:
                return self._ended(SaveResult(self.plan.step, self._death()))
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        try:
            return self._ended(read_result(line))
        except FormatError as error:
            return self._ended(SaveResult(self.plan.step, f"the writer's answer can't be read: {error}"))

    def close(self) -> None:
        """Lets the process end; it finishes what it was given."""
        if self._process is None or os.getpid() != self._owner:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            # Closing the pipe alone would not tell it: a DataLoader's workers hold this end of it, too.
            _write_all(self._process.stdin.fileno(), NO_MORE)
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._process = None

    def _ended(self, result: SaveResult) -> SaveResult:
        self.plan = None
        return result

    def _death(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process = None
        return f"{GONE} ({f'signal {-code}' if code < 0 else f'exit code {code}'})"

    def _start(self) -> None:
        paths = [str(Path(module.__file__ or "").parents[1]) for module in (outlast, xxhash)]
        number = self._arena.descriptor
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PROGRAM, json.dumps(paths), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(number,),
            bufsize=0,
        )
        self._heard = b""


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
