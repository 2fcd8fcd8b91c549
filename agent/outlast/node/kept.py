"""A command and its whole process tree under a keeper: start, watch, end; also an earlier life's."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from outlast.clock import pause
from outlast.node import processes

KEEPER = Path(__file__).with_name("keeper.py")
MARK = "OUTLAST_TREE"
POLL_S = 0.05
ANSWER_LIMIT_S = 25.0  # beyond the grace: the keeper itself gives up after 20
GONE_LIMIT_S = 10.0


class Kept:
    """One command. The keeper's word is read without blocking, except while it ends the tree."""

    def __init__(
        self, command: str, *, env: Mapping[str, str], cwd: Path, output: int, lock: Path, mark: str
    ) -> None:
        """Raises OSError."""
        life_out, self._life = os.pipe()
        self._says, says_in = os.pipe()
        os.set_blocking(self._says, False)
        self.mark = f"{MARK}={mark}"
        arguments = [sys.executable, "-I", "-S", str(KEEPER), str(life_out), str(says_in), str(lock), command]
        try:
            self._keeper = subprocess.Popen(
                arguments,
                env={**env, MARK: mark},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(life_out, says_in),
                start_new_session=True,
            )
        except OSError:
            os.close(self._life)
            os.close(self._says)
            raise
        finally:
            os.close(life_out)
            os.close(says_in)
        self.pid = 0  # of the main process
        self.code: int | None = None
        self._heard = b""
        self._none = False

    def poll(self) -> int | None:
        """The main process's exit code, as a shell gives it."""
        self._listen()
        if self.code is None and self._keeper.poll() is not None:
            # Somebody killed the keeper; the parent-death signal has ended the main process with it.
            self.code = 128 + signal.SIGKILL
        return self.code

    def pids(self) -> tuple[int, ...]:
        return tuple(processes.descendants(self._keeper.pid))

    def end(self, grace_s: float) -> bool:
        """Until nothing is left; False when something could not be ended within the limit."""
        if not self._none and self._keeper.poll() is None:
            try:
                os.write(self._life, f"{int(grace_s * 1000)}\n".encode())
            except BrokenPipeError:
                self._none = False
            for _ in range(int((grace_s + ANSWER_LIMIT_S) / POLL_S)):
                self._listen()
                if self._none or self._keeper.poll() is not None:
                    break
                pause(POLL_S)
        left = processes.marked(self.mark)
        if self._keeper.poll() is None and self._none:
            self._keeper.wait()
        processes.send([pid for pid in left if pid != self._keeper.pid], signal.SIGKILL)
        if self._keeper.poll() is None or processes.marked(self.mark):
            return False
        self.poll()
        self._close()
        return True

    def _listen(self) -> None:
        while self._says >= 0:
            try:
                data = os.read(self._says, 4096)
            except BlockingIOError:
                break
            if not data:
                break
            self._heard += data
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            word, _, number = line.decode().partition(" ")
            if word == "pid":
                self.pid = int(number)
            elif word == "exit":
                self.code = int(number)
            elif word == "none":
                self._none = True

    def _close(self) -> None:
        for descriptor in (self._life, self._says):
            if descriptor >= 0:
                os.close(descriptor)
        self._life = self._says = -1


def end_leftover(lock: Path) -> bool:
    """Waits until nothing of an earlier agent's command is left, and helps after a while."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        for tried in range(int(GONE_LIMIT_S / POLL_S)):
            if _locks(descriptor):
                return True
            if tried == int(GONE_LIMIT_S / POLL_S) // 2:
                _kill_keeper(os.pread(descriptor, 32, 0))
            pause(POLL_S)
        return False
    finally:
        os.close(descriptor)


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kill_keeper(note: bytes) -> None:
    """A keeper that does not end its tree by itself is ended with it."""
    if note.strip().isdigit():
        pid = int(note)
        processes.send([*processes.descendants(pid), pid], signal.SIGKILL)
