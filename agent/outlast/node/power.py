"""Switches the machine off: leaves word for the dead-man switch, and runs the command that does it."""

from __future__ import annotations

import subprocess

from outlast.node.home import POWER_OFF, Home, write_atomic
from outlast.node.logs import FileLog

LIMIT_S = 60.0


class CommandPower:
    """Without a command only the word is left; the switch in the node's user data reads it."""

    def __init__(self, home: Home, command: tuple[str, ...], log: FileLog) -> None:
        self._home = home
        self._command = command
        self._log = log

    def off(self, why: str) -> None:
        self._log.say(f"switching this machine off: {why}")
        try:
            write_atomic(self._home.root / POWER_OFF, f"{why}\n".encode())
        except OSError as error:
            self._log.say(f"no word could be left for the dead-man switch: {error}")
        if not self._command:
            return
        try:
            subprocess.run(self._command, timeout=LIMIT_S, check=False, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired) as error:
            self._log.say(f"{self._command[0]} did not switch the machine off: {error}")
