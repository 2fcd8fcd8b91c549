"""The demo's stage: its home folder, the local cloud, the server, and the job, each as a process of its own.

Everything is done as a user would do it, through the `outlast` command, but for what no user can: ending
the controller with SIGKILL.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from outlast_orchestrator.cli.client import Client, discover, read_server_file
from outlast_orchestrator.cli.exits import NoServer, Refused
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.providers.local.config import CloudConfig
from outlast_orchestrator.providers.local.control import CloudControl, start_cloud, stop_cloud

COMMAND_LIMIT_S = 120.0
CLOUD_FOLDER = "local-cloud"


@dataclass(frozen=True)
class Size:
    """How long the demo trains, and how often it saves."""

    steps: int = 180
    save_every: int = 8

    def environment(self) -> dict[str, str]:
        return {"DEMO_STEPS": str(self.steps), "DEMO_SAVE_EVERY": str(self.save_every)}


class Stage:
    """Owns the demo's folder and processes; `close` leaves none of them behind."""

    def __init__(self, clock: Clock, size: Size) -> None:
        self.clock = clock
        self.size = size
        self.home = Path(tempfile.mkdtemp(prefix="outlast-demo-"))
        self.track = self.home / "track.jsonl"
        self.faults_to_come = self.home / "faults-to-come"
        self.cloud: CloudControl = start_cloud(self.home / CLOUD_FOLDER, quiet_market())
        self._environment = {**os.environ, "OUTLAST_HOME": str(self.home)}
        for name in ("OUTLAST_URL", "OUTLAST_TOKEN", "OUTLAST_CA_FILE"):
            self._environment.pop(name, None)
            os.environ.pop(name, None)
        os.environ["OUTLAST_HOME"] = str(self.home)

    def outlast(self, *arguments: str) -> str:
        """Runs the command line tool; its words on standard output. Raises UserError with what it said."""
        command = [sys.executable, "-m", "outlast_orchestrator.cli.main", *arguments]
        done = subprocess.run(
            command,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise UserError(f"`outlast {' '.join(arguments)}` ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def start_server(self) -> None:
        self.outlast("server", "start", "-d")

    def kill_server(self) -> int:
        """SIGKILL to controller and API, which are one process. Returns its pid."""
        found = read_server_file(self.home)
        if found is None:
            raise UserError(f"there is no server.json in {self.home}: the demo's server is gone")
        pid = int(found["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def submit(self) -> str:
        """Copies the job into the home folder and submits it. Returns the job's id."""
        folder = self.home / "job"
        shutil.copytree(Path(__file__).parent / "job", folder, ignore=shutil.ignore_patterns("__pycache__"))
        values = {
            **self.size.environment(),
            "DEMO_TRACK": str(self.track),
            "DEMO_FAULTS_TO_COME": str(self.faults_to_come),
        }
        self.faults_to_come.touch()
        extra = [word for name, value in values.items() for word in ("-e", f"{name}={value}")]
        self.outlast("submit", str(folder / "job.yaml"), "-y", *extra)
        return str(self.status("demo")["id"])

    def status(self, job: str) -> dict[str, Any]:
        """Raises NoServer while the controller is away."""
        with Client(discover()) as client:
            return client.get(f"/v1/jobs/{job}")

    def events(self, job: str, after: int) -> list[dict[str, Any]]:
        """The events after a number; none while the controller is away."""
        try:
            with Client(discover()) as client:
                answer = client.get(f"/v1/jobs/{job}/events", {"after": after, "limit": 1000})
        except (NoServer, Refused):
            return []
        found: list[dict[str, Any]] = answer["events"]
        return found

    def job_folder(self, job: str) -> Path:
        """The job's prefix in the bucket, which is a folder here."""
        return self.home / "bucket" / "jobs" / job

    def pointer(self, job: str) -> dict[str, Any] | None:
        """What anybody who can read the bucket would see."""
        try:
            found: dict[str, Any] = json.loads((self.job_folder(job) / "latest.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return found

    def train_undisturbed(self) -> str:
        """The same training without Outlast and without interruptions. Returns the final weights' hash."""
        folder = self.home / "undisturbed"
        folder.mkdir()
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("OUTLAST_", "DEMO_"))}
        environment.update(self.size.environment())
        train = Path(__file__).parent / "job" / "train.py"
        done = subprocess.run(
            [sys.executable, str(train)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise UserError(f"the undisturbed training ended with {done.returncode}: {done.stderr[-500:]}")
        return final_hash(folder / "outputs")

    def close(self, keep: bool) -> None:
        try:
            self.outlast("server", "stop")
        except UserError:
            found = read_server_file(self.home)
            if found is not None and _is_alive(int(found["pid"])):
                os.kill(int(found["pid"]), signal.SIGKILL)
        stop_cloud(self.home / CLOUD_FOLDER)
        if not keep:
            shutil.rmtree(self.home, ignore_errors=True)


def quiet_market() -> CloudConfig:
    """A local cloud whose market takes nothing by itself: the demo's own script decides when."""
    return CloudConfig()


def final_hash(folder: Path) -> str:
    """sha256 over the final tensors' bytes, computed anew from the file that the training left."""
    tensors = load_file(folder / "final.safetensors")
    return hashlib.sha256(b"".join(tensors[name].tobytes() for name in sorted(tensors))).hexdigest()


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
