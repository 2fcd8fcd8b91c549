"""Starts the supervisor of an instance, and finds one that runs already."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from outlast_orchestrator.providers.local import machine, machine_link, processes
from outlast_orchestrator.providers.local.records import Record

PASSED_ON = ("LANG", "LC_ALL", "TZ")  # of the cloud's own environment; nothing else gets in
POWEROFF = "OUTLAST_POWEROFF"  # the command that switches the instance off
PING_LIMIT_S = 5.0


def lay_out(folder: Path, user_data: str) -> None:
    """Makes the folder of a new instance: its disk, and what it runs at boot."""
    (folder / machine.DISK / "tmp").mkdir(parents=True, mode=0o700)
    script = folder / machine.USER_DATA
    script.write_text(user_data)
    script.chmod(0o700)


def environment(record: Record, folder: Path) -> dict[str, str]:
    """All that the processes of an instance inherit: nothing of whoever started the cloud."""
    disk = folder / machine.DISK
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return passed | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(disk),
        "TMPDIR": str(disk / "tmp"),
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{record.metadata_port}",
        "OUTLAST_INSTANCE": record.id,
        "OUTLAST_LAUNCH": record.order.launch_id,
        POWEROFF: str(folder / "poweroff"),
        processes.MARK: record.mark,
    }


def spawn(record: Record, folder: Path) -> int:
    """Starts a supervisor in a session of its own. A second one for the same folder ends at once."""
    output = os.open(folder / "machine.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-m", machine.__name__, str(folder)],
            environment(record, folder),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, nothing, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(output)
        os.close(nothing)


def supervisor(folder: Path) -> tuple[int, int] | None:
    """(pid, start) of the living supervisor of that folder."""
    try:
        value = json.loads((folder / machine.PROC_FILE).read_text())
    except FileNotFoundError:
        return None
    pid, started = int(value["pid"]), int(value["started"])
    return (pid, started) if processes.alive(pid, started) else None


def answers(folder: Path) -> bool:
    try:
        machine_link.ping(folder, PING_LIMIT_S)
    except machine_link.MachineDown:
        return False
    return True


def switched_itself_off(folder: Path) -> bool:
    return (folder / machine.ENDED_FILE).exists()


def console(folder: Path) -> str:
    """What the instance's own processes printed, its last megabyte."""
    path = folder / machine.CONSOLE
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - machine.OUTPUT_BYTES_MAX))
        return file.read().decode(errors="replace")
