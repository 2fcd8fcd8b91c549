"""Runs the job's own commands before its training: one at a time, each ended with all that it started."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from outlast.clock import pause
from outlast.node.home import Home
from outlast.node.kept import Kept, end_leftover
from outlast.node.logs import FileLog
from outlast.node_ports import NodeTrouble

POLL_S = 0.1
GRACE_S = 2.0


class Commands:
    """What they print goes where the trainer's lines go."""

    def __init__(self, home: Home, log: FileLog) -> None:
        self._lock = home.setup_lock
        self._log = log

    def run(
        self, what: str, command: str, env: Mapping[str, str], cwd: Path, cancelled: Callable[[], bool]
    ) -> int:
        """Its exit code. `what` is its name for people. Raises NodeTrouble when it is called off, OSError."""
        self._log.say(f"running {what}")
        if not end_leftover(self._lock):
            raise NodeTrouble("setup", "a set-up of an earlier agent can't be ended on this node")
        kept = Kept(
            command,
            env=env,
            cwd=cwd,
            output=self._log.descriptor,
            lock=self._lock,
            mark=f"setup-{os.getpid()}",
        )
        while (code := kept.poll()) is None and not cancelled():
            pause(POLL_S)
        while not kept.end(GRACE_S):
            pause(POLL_S)
        if code is None:
            raise NodeTrouble("setup", f"{what} was called off")
        return code

    def must(
        self, what: str, command: str, env: Mapping[str, str], cwd: Path, cancelled: Callable[[], bool]
    ) -> None:
        """Raises NodeTrouble for every code but 0, OSError."""
        if code := self.run(what, command, env, cwd, cancelled):
            raise NodeTrouble("setup", f"{what} ended with code {code}", tail=self._log.tail())
