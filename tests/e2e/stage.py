"""A whole Outlast for one test: a home, a local cloud, a server and jobs, driven as a user drives them.

What `outlast` does is asked of the real command in a process of its own; only looking is done by the API's
client, for speed. Every wait has a limit and says what it waited for. `close` leaves no process behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from outlast_orchestrator.cli.client import Client, Server, read_server_file
from outlast_orchestrator.core.errors import OutlastError
from outlast_orchestrator.providers.local.control import CloudControl, start_cloud, stop_cloud

CLOUD_FOLDER = "local-cloud"  # where a server looks for it
COMMAND_LIMIT_S = 90.0
WAIT_S = 90.0
LOOK_EVERY_S = 0.1
STATUS_EVERY_S = 0.2  # a status costs its server 20 ms of CPU
GONE_LIMIT_S = 20.0
PYTHON = sys.executable
# Their settings and keys: no test sees them.
OF_PEOPLE = ("OUTLAST_", "AWS_", "GOOGLE_", "GCE_", "AZURE_", "IDENTITY_")

Status = dict[str, Any]


@dataclass(frozen=True)
class Ran:
    """One call of the command line tool."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Stage:
    """`folder` holds everything; `environment` is added to what server and commands see."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(mode=0o700, parents=True)
        self.desk = folder / "desk"  # where the commands are typed
        self.desk.mkdir()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(OF_PEOPLE)}
        self.environment = {**inherited, "OUTLAST_HOME": str(self.home), **(environment or {})}
        self.cloud: CloudControl = start_cloud(self.home / CLOUD_FOLDER)

    # commands

    def outlast(self, *words: str | Path, code: int | None = 0, piped: str = "", **environment: str) -> Ran:
        """Runs `outlast`; `code` None: whatever it exits with. It never shows a traceback."""
        command = [PYTHON, "-m", "outlast_orchestrator.cli.main", *map(str, words)]
        done = subprocess.run(
            command,
            env={**self.environment, **environment},
            cwd=self.desk,
            input=piped,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        ran = Ran(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in ran.err + ran.out, f"{words}: {ran.err}"
        assert code is None or ran.code == code, f"{words} ended with {ran.code}: {ran.err or ran.out}"
        return ran

    def start(self) -> None:
        self.outlast("server", "start", "-d")

    def kill_server(self) -> None:
        """SIGKILL to controller and API, which are one process."""
        pid = self.server_pid()
        os.kill(pid, signal.SIGKILL)
        self.until("the server is dead", lambda: not _lives(pid))

    def server_pid(self) -> int:
        return int(self._server()["pid"])

    def server_url(self) -> str:
        return str(self._server()["url"])

    def _server(self) -> dict[str, Any]:
        found = read_server_file(self.home)
        assert found is not None, "no server runs here"
        return found

    # jobs

    def job_file(self, name: str, files: Mapping[str, str], **keys: Any) -> Path:
        """A folder with the job's files and its job.yaml, written anew."""
        folder = self.folder / "jobs" / name
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            (folder / path).write_text(text)
        body = {"name": name, **({"workdir": "none"} if not files else {}), **keys}
        (folder / "job.yaml").write_text(yaml.safe_dump(body, sort_keys=False))
        return folder / "job.yaml"

    def submit(self, name: str, files: Mapping[str, str], **keys: Any) -> str:
        """Returns the job's id."""
        return self.outlast("submit", self.job_file(name, files, **keys), "-y").out.strip()

    def resume(self, name: str, job: str) -> None:
        """Of a job that has failed, until it says so no more: that takes its server a moment."""
        self.outlast("resume", name)
        self.until_status(job, "it goes on", lambda status: status["state"] != "FAILED")

    # looking

    def get(self, path: str, **parameters: str | int | float) -> dict[str, Any]:
        token, trust = (self.home / "token").read_text().strip(), self.environment.get("OUTLAST_CA_FILE", "")
        with Client(Server(self.server_url(), token, trust)) as client:
            return client.get(path, parameters)

    def status(self, job: str) -> Status:
        return self.get(f"/v1/jobs/{job}")

    def events(self, job: str, *kinds: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"/v1/jobs/{job}/events", limit=1000)["events"]
        return [event for event in found if not kinds or event["kind"] in kinds]

    def until(self, what: str, true: Callable[[], Any], limit_s: float = WAIT_S) -> Any:
        """The first true value of `true`."""
        end_s = time.monotonic() + limit_s
        while not (found := true()):
            assert time.monotonic() < end_s, f"not within {limit_s:.0f} s: {what}"
            time.sleep(LOOK_EVERY_S)
        return found

    def until_status(self, job: str, what: str, test: Callable[[Status], bool]) -> Status:
        """The first status that fits; the whole story when none does."""
        end_s = time.monotonic() + WAIT_S
        while True:
            found = self.status(job)
            if test(found):
                return found
            if time.monotonic() > end_s:
                raise AssertionError(f"not within {WAIT_S:.0f} s: {what}\n{self.story(job)}")
            time.sleep(STATUS_EVERY_S)

    def until_state(self, job: str, *states: str) -> Status:
        return self.until_status(job, " or ".join(states), lambda status: status["state"] in states)

    def until_saved(self, job: str, generation: int = 1) -> Status:
        """Until that attempt, or a later one, trains and has a durable save that the controller knows too."""

        def saved(status: Status) -> bool:
            assert status["state"] not in ("SUCCEEDED", "FAILED"), self.story(job)
            newest = status["attempts"][-1]["generation"] if status["attempts"] else 0
            told, known = (status["saving"] or {}).get("durable"), status["durable"]
            names = (told["key"], known["name"]) if told and known else ("", "")
            mine = all(f"-g{newest}-" in name for name in names)
            return mine and newest >= generation and status["state"] == "RUNNING"

        return self.until_status(job, f"generation {generation} has saved", saved)

    def machine(self, job: str) -> str:
        """The cloud's id of the machine that the newest attempt has."""
        launch = self.status(job)["attempts"][-1]["launches"][0]
        return next(str(one["id"]) for one in self.status(job)["instances"] if one["launch_id"] == launch)

    def living_machines(self, job: str) -> list[str]:
        return [one["id"] for one in self.cloud.instances() if one["job"] == job and one["state"] != "ended"]

    def story(self, job: str) -> str:
        """For the message of a test that failed."""
        status = self.status(job)
        lines = [f"{status['state']}: {status['why']}"]
        for event in self.events(job)[-40:]:
            lines.append(f"{event['kind']} g{event['attempt']}: {event['why']}")
            lines += [f"  | {line}" for line in event["data"].get("tail", "").splitlines()]
        return "\n".join(lines)

    # the bucket, when it is a folder

    def job_folder(self, job: str) -> Path:
        return self.home / "bucket" / "jobs" / job

    def pointer(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.job_folder(job) / "latest.json").read_bytes())
        return found

    # the end

    def processes(self) -> dict[int, str]:
        """Every living process that belongs to this stage, with its command line."""
        mark = os.fsencode(self.folder)
        found = {}
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid() and _lives(int(name)):
                told = _read(f"/proc/{name}/environ") + _read(f"/proc/{name}/cmdline") + _cwd(name)
                if mark in told:
                    command = _read(f"/proc/{name}/cmdline").replace(b"\0", b" ")
                    found[int(name)] = command.decode(errors="replace")
        return found

    def close(self) -> None:
        """Ends everything, and looks that nothing is left."""
        try:
            found = read_server_file(self.home)
            if found is not None and _lives(int(found["pid"])):
                self.outlast("server", "stop")
        except (OutlastError, AssertionError, subprocess.TimeoutExpired):
            self.kill_server()
        finally:
            stop_cloud(self.home / CLOUD_FOLDER)
        left = self.processes()
        end_s = time.monotonic() + GONE_LIMIT_S
        while left and time.monotonic() < end_s:
            time.sleep(LOOK_EVERY_S)
            left = self.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left, f"these processes were left behind: {left}"


def one_line(text: str, *words: str) -> None:
    """What a person is told when something is wrong: one line, with these words in it."""
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    for word in words:
        assert word in lines[0], text


def track(path: Path) -> list[tuple[int, int]]:
    """(generation, step) in the order in which the trainers finished them."""
    if not path.exists():
        return []
    rows = [line.split() for line in path.read_text().splitlines()]
    return [(int(row[0]), int(row[1])) for row in rows]


def first_steps(steps: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Each generation's first step."""
    found: dict[int, int] = {}
    for generation, step in steps:
        found.setdefault(generation, step)
    return found


def _lives(pid: int) -> bool:
    stat = _read(f"/proc/{pid}/stat")
    return bool(stat) and stat.rpartition(b")")[2].split()[:1] != [b"Z"]


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _cwd(name: str) -> bytes:
    try:
        return os.fsencode(os.readlink(f"/proc/{name}/cwd"))
    except OSError:
        return b""
