"""Two controllers, each a process of its own, on one PostgreSQL, one bucket and one local cloud."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.scale.front import front, health, leader_of
from tests.scale.stopping_server import ARMED, COMMITS
from tests.servers.postgres import Postgres

from outlast_orchestrator.cli.client import read_server_file
from outlast_orchestrator.providers.local.control import CloudControl, start_cloud, stop_cloud

LIMIT_S = 60.0
LEADER_TTL_S = 3.0
DRAIN_LIMIT_S = 1.0  # the trainer of these jobs saves nothing
ROOT = Path(__file__).parents[2]
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the default reads all the world's authorities, each time


@dataclass
class One:
    """One controller's process."""

    name: str
    home: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.home / "out.log").open("ab") as out:
            command = [sys.executable, "-m", "tests.scale.stopping_server"]
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=out, stderr=out)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def url(self) -> str:
        """Empty before it listens; what a killed one left behind is not its own."""
        found = read_server_file(self.home)
        mine = found is not None and self.process is not None and int(found["pid"]) == self.process.pid
        return str(found["url"]) if found is not None and mine else ""

    def leads(self) -> bool:
        found = health(self.url()) if self.url() else None
        return found is not None and bool(found["leading"])

    def arm(self, point: str) -> None:
        whole = self.home / f"{ARMED}.new"
        whole.write_text(point)
        whole.rename(self.home / ARMED)

    def is_stopped(self) -> bool:
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def end(self, number: int = signal.SIGKILL) -> None:
        """SIGKILL reaches a stopped process too."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(LIMIT_S)
            self.process = None

    def commits(self) -> list[dict[str, Any]]:
        """How each of its writes went, oldest first."""
        file = self.home / COMMITS
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def client(self) -> httpx.Client:
        token = (self.home / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(
            base_url=self.url(), headers=headers, timeout=LIMIT_S, trust_env=False, verify=NO_TLS
        )

    def get(self, path: str) -> dict[str, Any]:
        with self.client() as http:
            found: dict[str, Any] = http.get(path).raise_for_status().json()
        return found

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        with self.client() as http:
            found: dict[str, Any] = http.post(path, json=body).raise_for_status().json()
        return found

    def told(self) -> str:
        """For a failed wait: the end of what it wrote."""
        logs = [self.home / "out.log", self.home / "controller.log"]
        return "\n".join(f"{log}: {log.read_text()[-1500:]}" for log in logs if log.exists())


@dataclass
class Two:
    first: One
    second: One
    cloud: CloudControl
    jobs: int = 0

    def both(self) -> list[One]:
        return [self.first, self.second]

    def leader(self) -> One:
        """And the only one."""
        self.wait("somebody leads", lambda: any(one.leads() for one in self.both()))
        leading = [one for one in self.both() if one.leads()]
        assert len(leading) == 1
        return leading[0]

    def other(self, one: One) -> One:
        return self.second if one is self.first else self.first

    def wait(self, what: str, test: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
        deadline_s = time.monotonic() + limit_s
        while not test():
            if time.monotonic() > deadline_s:
                told = "\n".join(one.told() for one in self.both())
                raise AssertionError(f"not within {limit_s:.0f} s: {what}\n{told}")
            time.sleep(0.1)

    def submit(self, by: One) -> str:
        self.jobs += 1
        job = f"{self.jobs:016x}"
        by.post("/v1/jobs", id=job, name=f"job-{self.jobs}", spec={"run": "exec sleep 1000"}, by="a test")
        return job

    def state(self, job: str, by: One) -> str:
        return str(by.get(f"/v1/jobs/{job}")["state"])

    def kinds(self, job: str, by: One) -> list[str]:
        return [str(event["kind"]) for event in by.get(f"/v1/jobs/{job}/events")["events"]]

    def machines(self, job: str) -> list[dict[str, Any]]:
        """All that were ever made for it; the local cloud lists ended ones for a long while."""
        return [machine for machine in self.cloud.instances() if machine["job"] == job]


@contextmanager
def two_controllers(folder: Path, server: Postgres) -> Iterator[Two]:
    """Started together on an empty database; both run when this yields."""
    homes = [folder / name for name in ("first", "second")]
    for home in homes:
        home.mkdir(mode=0o700)
        (home / "controller.yaml").write_text(f"limits: {{drain_limit_s: {DRAIN_LIMIT_S}}}\n")
    bucket = folder / "bucket"
    bucket.mkdir()
    state = homes[0] / "local-cloud"
    with ExitStack() as stack:
        cloud = start_cloud(state)
        stack.callback(stop_cloud, state)
        (homes[1] / "local-cloud").symlink_to(state)
        (homes[0] / "node.key").write_text("5a" * 32)
        shutil.copy(homes[0] / "node.key", homes[1] / "node.key")
        ones: list[One] = []
        address = stack.enter_context(front(lambda: [one.url() for one in ones if one.url()]))
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("OUTLAST_")}
        for home in homes:
            settings = {
                "OUTLAST_HOME": str(home),
                "OUTLAST_STORE": server.fresh() if not ones else ones[0].environment["OUTLAST_STORE"],
                "OUTLAST_STORAGE": bucket.as_uri(),
                "OUTLAST_API_URL": address,
                "OUTLAST_LEADER_TTL_S": str(LEADER_TTL_S),
            }
            one = One(home.name, home, {**inherited, **settings})
            ones.append(one)
            stack.callback(one.end)
            one.start()
        two = Two(ones[0], ones[1], cloud)
        two.wait("both answer", lambda: all(one.url() and health(one.url()) for one in ones))
        two.wait("one leads", lambda: leader_of([one.url() for one in ones]) is not None)
        yield two
