"""How the cloud speaks to the supervisor of an instance: one JSON line there, one back."""

from __future__ import annotations

import base64
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANSWER_BYTES_MAX = 16 << 20


class MachineDown(Exception):
    """The instance does not answer."""


@dataclass(frozen=True)
class Ran:
    code: int
    stdout: str
    stderr: str


def ping(folder: Path, timeout_s: float) -> dict[str, Any]:
    return _ask(folder, {"op": "ping"}, timeout_s)


def run(folder: Path, argv: list[str], stdin: bytes, timeout_s: float) -> Ran:
    """Runs a command on the instance and waits for its end. Raises MachineDown."""
    request = {
        "op": "exec",
        "argv": argv,
        "stdin": base64.b64encode(stdin).decode(),
        "timeout_s": timeout_s,
    }
    answer = _ask(folder, request, timeout_s + 5.0)
    return Ran(answer["code"], answer["stdout"], answer["stderr"])


def start(folder: Path, name: str, key: str, argv: list[str], restarts: int, timeout_s: float) -> None:
    """Keeps a command running in the background, once for every key. Raises MachineDown."""
    _ask(folder, {"op": "start", "name": name, "key": key, "argv": argv, "restarts": restarts}, timeout_s)


def _ask(folder: Path, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise MachineDown(f"the instance has no folder any more: {error.strerror}") from error
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            # Through the open folder, because a socket's own path has room for 107 bytes only.
            connection.connect(f"/proc/self/fd/{directory}/machine.sock")
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = bytearray()
            while not answer.endswith(b"\n") and len(answer) < ANSWER_BYTES_MAX:
                data = connection.recv(1 << 16)
                if not data:
                    raise MachineDown("the instance went down in the middle of an answer")
                answer += data
    except OSError as error:
        raise MachineDown(f"the instance does not answer: {error}") from error
    finally:
        os.close(directory)
    value: dict[str, Any] = json.loads(answer)
    return value
