"""What `outlast ssh` does: finds a job's machine, and leads a person onto it."""

from __future__ import annotations

import importlib
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outlast_orchestrator.cli.client import connect, home
from outlast_orchestrator.cli.remote import elsewhere
from outlast_orchestrator.core.errors import UserError

KEY = "node.key"
GONE = "gone"
RANK, PORT = "--rank", "-L"
PORT_MAX = 65_535


@dataclass(frozen=True)
class Visit:
    """Which node, what to run there, and which of its ports are to be reached from here."""

    command: tuple[str, ...] = ()
    rank: int = 0
    ports: tuple[int, ...] = ()


def visit(words: Sequence[str], rank: int = 0, ports: Sequence[int] = ()) -> Visit:
    """What was said: our own options may also stand between the job and the command. Raises UserError."""
    left, found = list(words), list(ports)
    while left and left[0] in (RANK, PORT):
        option, value = left[0], left[1] if len(left) > 1 else ""
        if not value.isdecimal():
            raise UserError(f"{option} {value}: wants a number; a command of that name goes behind --")
        rank, found = (int(value), found) if option == RANK else (rank, [*found, int(value)])
        left = left[2:]
    for one in found:
        if not 1 <= one <= PORT_MAX:
            raise UserError(f"{PORT} {one}: a port is a number from 1 to {PORT_MAX}")
    return Visit(tuple(left[1:] if left[:1] == ["--"] else left), rank, tuple(found))


def ssh(job: str, wanted: Visit) -> int:
    """The exit code of what ran there. Raises UserError when there is no machine, or no way to it."""
    if there := elsewhere(home()):
        raise UserError(f"commands talk to {there}: run this where it runs, for it has the machines' keys")
    with connect() as client:
        status = client.get(f"/v1/jobs/{job}")
    machine = _machine(status, job, wanted.rank)
    settings = importlib.import_module("outlast_orchestrator.settings").load_settings()
    options = (settings.providers or {}).get(machine["cloud"])
    file = home() / KEY
    if not machine["address"] or options is None or not file.exists():
        raise UserError(_no_way(machine))
    login = importlib.import_module("outlast_orchestrator.remote.login")
    reach = importlib.import_module("outlast_orchestrator.remote.access")
    ways = reach.Ways(**(options.get("ssh") or {}))  # the server that runs has read them, too
    key = bytes.fromhex(file.read_text().strip())
    access = reach.Access(key, machine["launch_id"], machine["address"], ways)
    with tempfile.TemporaryDirectory(prefix="outlast-ssh-") as folder:
        try:
            call = login.ssh_command(access, Path(folder), wanted.command, wanted.ports)
            return subprocess.run(call, check=False).returncode
        except FileNotFoundError as error:
            raise UserError("there is no ssh here: install OpenSSH's client") from error


def _machine(status: dict[str, Any], job: str, rank: int) -> dict[str, Any]:
    """That of the newest attempt."""
    launches = status["attempts"][-1]["launches"] if status["attempts"] else []
    wanted = launches[rank] if rank < len(launches) else ""
    for one in status["instances"]:
        if one["launch_id"] == wanted and one["phase"] != GONE:
            found: dict[str, Any] = one
            return found
    which = f"{job} has no machine" if rank == 0 else f"{job} has no machine of rank {rank}"
    raise UserError(f"{which} now: it is {status['state']}, {status['why']}")


def _no_way(machine: dict[str, Any]) -> str:
    if machine["address"].startswith("127."):
        return f"{machine['id']} is only a session on this computer: its files are below {home()}"
    return f"{machine['id'] or machine['launch_id']} has no address yet, or its cloud is not configured here"
