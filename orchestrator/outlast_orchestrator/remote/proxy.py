"""A connection that is the input and output of a command: a jump host, a session manager, a tunnel."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

SAID_CHARS = 300
END_LIMIT_S = 5.0


@dataclass(frozen=True)
class Proxied:
    socket: socket.socket
    errors: IO[bytes]

    def said(self) -> str:
        """The end of what the command wrote to its standard error, as one line."""
        self.errors.seek(0)
        return " ".join(self.errors.read().decode("utf-8", "replace").split())[-SAID_CHARS:]


def filled(command: str, address: str, port: int, login: str) -> str:
    """With %h, %p and %r as OpenSSH's ProxyCommand has them."""
    words = {"h": shlex.quote(address), "p": str(port), "r": shlex.quote(login), "%": "%"}
    parts = command.split("%")
    text = parts.pop(0)
    while parts:
        part = parts.pop(0)
        if part[:1] in words and part:
            text += words[part[0]] + part[1:]
        elif not part and parts:
            text += words["%"] + parts.pop(0)
        else:
            text += "%" + part
    return text


@contextmanager
def proxied(command: str) -> Iterator[Proxied]:
    """The command and all that it started are gone after it. Raises OSError."""
    ours, theirs = socket.socketpair()
    with ours, tempfile.TemporaryFile() as errors:
        with theirs:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=errors,
                start_new_session=True,
            )
        try:
            yield Proxied(ours, errors)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_LIMIT_S)
            return
