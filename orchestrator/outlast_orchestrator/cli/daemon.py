"""Starts the server beside the terminal, and stops it; the jobs go on without it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from outlast_orchestrator.cli import output
from outlast_orchestrator.cli.client import home, read_server_file
from outlast_orchestrator.cli.exits import Exit, NoServer, Refused
from outlast_orchestrator.cli.remote import read_remote
from outlast_orchestrator.core.errors import UserError

START_LIMIT_S = 60.0
STOP_LIMIT_S = 45.0
LOOK_EVERY_S = 0.1
HEALTH_TIMEOUT_S = 5.0
LOG_LINES = 15
SAID = "outlast: "  # how a server's last words begin
SERVER = (sys.executable, "-m", "outlast_orchestrator.server")
RESTORE_LIMIT_S = 600.0  # it reads every page of the backup first


def command(from_backup: Path | None, force: bool) -> list[str]:
    words = [] if from_backup is None else ["--from-backup", str(from_backup.absolute())]
    return [*SERVER, *words, *(["--force"] if force else [])]


def limit_s(from_backup: Path | None) -> float:
    return START_LIMIT_S if from_backup is None else RESTORE_LIMIT_S


def start(command: Sequence[str] = SERVER, limit_s: float = START_LIMIT_S) -> dict[str, Any]:
    """Returns what the new server wrote about itself, once it answers."""
    folder = home()
    running = answering(folder)
    if running is not None:
        raise UserError(f"a server is running already at {running['url']} (pid {running['pid']})")
    log = folder / "server.log"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        log.touch(mode=0o600)
        begun_at = log.stat().st_size
        with log.open("ab") as file:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,  # it outlives this terminal
                cwd="/",
                env={**os.environ, "OUTLAST_HOME": str(folder.absolute())},
            )
    except OSError as error:
        raise UserError(f"{error.filename or folder} can't be used: {error.strerror}") from error
    found = _wait_until_up(process, folder, limit_s)
    if found is None:
        told = _story_of_failure(process, log, begun_at)
        raise UserError(told) if process.poll() == Exit.BAD_INPUT else Refused(told)
    return found


def warn_of_login() -> None:
    remote = read_remote(home())
    if remote is not None:
        output.note(f"commands talk to {remote['url']}, not to this one: `outlast logout` changes that")


def _wait_until_up(process: subprocess.Popen[bytes], folder: Path, limit_s: float) -> dict[str, Any] | None:
    for _ in range(int(limit_s / LOOK_EVERY_S)):
        found = answering(folder)
        if found is not None and found["pid"] == process.pid:
            return found
        try:
            process.wait(LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            continue
        return None
    process.terminate()
    return None


def _story_of_failure(process: subprocess.Popen[bytes], log: Path, begun_at: int) -> str:
    with log.open("rb") as file:
        file.seek(begun_at)
        lines = file.read().decode(errors="replace").splitlines()[-LOG_LINES:]
    code = process.poll()
    if code is not None and lines and lines[-1].startswith(SAID):
        return lines[-1].removeprefix(SAID)  # it said in a line why it can't run
    late = code in (None, -signal.SIGTERM)  # then we ended it
    how = "did not answer in time" if late else f"ended with status {code}"
    return "\n".join([f"the server {how}; the end of {log}:", *(f"  {line}" for line in lines)])


def answering(folder: Path) -> dict[str, Any] | None:
    """What server.json says, if the very process that it names answers at its address."""
    found = read_server_file(folder)
    if found is None:
        return None
    try:
        # Only the pid is asked for and no token is sent, so the certificate does not matter here.
        with httpx.Client(verify=False, trust_env=False, timeout=HEALTH_TIMEOUT_S) as http:  # noqa: S501
            health = http.get(f"{found['url']}/v1/health")
        value = health.json()
    except (httpx.HTTPError, ValueError):
        return None
    return found if isinstance(value, dict) and value.get("pid") == found["pid"] else None


def stop() -> dict[str, Any]:
    """Ends the server, after a look that the pid is really its own, and waits until it is gone."""
    folder = home()
    found = answering(folder)
    if found is None:
        stale = read_server_file(folder)
        if stale is None:
            raise NoServer(f"no Outlast server is running here ({folder}): there is nothing to stop")
        raise NoServer(
            f"{folder / 'server.json'} names process {stale['pid']}, but no server answers "
            f"at {stale['url']}: nothing was stopped; if that process is a server that hangs, end it by hand"
        )
    pid = int(found["pid"])
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return found  # it ended by itself in between
    except PermissionError as error:
        raise UserError(f"the server (pid {pid}) belongs to another user: stop it as that user") from error
    pause = threading.Event()
    for _ in range(int(STOP_LIMIT_S / LOOK_EVERY_S)):
        if not _alive(pid):
            output.note("the server is stopped; running jobs go on, and are found again at the next start")
            return found
        pause.wait(LOOK_EVERY_S)
    raise Refused(
        f"the server (pid {pid}) has not ended in {STOP_LIMIT_S:.0f} s: look into {folder}/server.log"
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _zombie(pid)


def _zombie(pid: int) -> bool:
    """Ended, but its parent has not looked yet: the case when we started it ourselves."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[:1] == ["Z"]
