"""A whole agent as a real process: a fake controller on loopback, a folder as bucket, a small trainer."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import zstandard

from outlast.bucket.client import open_bucket, scoped
from outlast.bucket.generations import read_pointer
from outlast.ports import Bucket
from outlast.protocol.codec import dump, load, to_json
from outlast.protocol.messages import (
    AgentState,
    BucketKeys,
    CheckpointPlan,
    Command,
    CommandKind,
    Permission,
    Reply,
    Report,
    Work,
)
from outlast.protocol.objects import Pointer, code_key, job_prefix

JOB, OWNER, TOKEN = "j0b", "own", "s3cret"
WAIT_S = 40.0

TRAINER = """
import os, sys, time
from pathlib import Path
import outlast
from outlast.checkpoint_files import write

root = Path(os.environ["OUTLAST_CHECKPOINT_DIR"])
last = int(sys.argv[1])
start = os.environ.get("OUTLAST_RESUME_FROM")
step = int((Path(start) / "step.txt").read_text()) if start else 0
print("starting at", step, flush=True)


def save():
    write(root, step, lambda folder: (folder / "step.txt").write_text(str(step)))


while step < last:
    while outlast.should_save():  # asked again at once, so that no step is trained after a final save
        save()
    step += 1
    time.sleep(0.05)
    Path("curve.csv").open("a").write(f"{step}\\n")
    outlast.log(step=step, loss=1.0 / step)
    if os.environ.get("CRASH_AT") == str(step):
        print("RuntimeError: CUDA out of memory", flush=True)
        sys.exit(3)
    if step % 10 == 0:
        save()
outlast.done()
"""


class Controller:
    """Answers reports and hanging requests with the commands that the test has set."""

    def __init__(self) -> None:
        self.commands: tuple[Command, ...] = ()
        self.run: Permission | None = None  # given to who is WAITING
        self.reports: list[Report] = []
        self.silent = False
        self.lease_s = 600.0
        self.keys: Callable[[], BucketKeys] | None = None  # for the bucket
        self.keys_given = 0
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def tell(self, *commands: Command, run: Permission | None = None) -> None:
        with self._changed:
            self.commands, self.run = commands, run
            self._changed.notify_all()

    def close(self) -> None:
        self.tell()
        self._server.shutdown()
        self._server.server_close()

    def _reply(self, report: Report | None) -> Reply:
        commands = self.commands
        if self.run is not None and commands:
            generation = max(command.generation for command in commands)
            commands = (*commands, Command(CommandKind.RUN, generation, permission=self.run))
        until = max((fact.id for fact in report.facts), default=0) if report is not None else 0
        number = hash(json.dumps(to_json(commands), sort_keys=True)) & 0x7FFFFFFF
        return Reply(commands=commands, facts_until=until, number=number, lease_s=self.lease_s)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        controller = self

        class Handler(BaseHTTPRequestHandler):
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Authorization"] != f"Bearer {TOKEN}" or controller.silent:
                    self.send_error(503 if controller.silent else 401)
                    return
                if self.path.endswith("/bucket-keys"):
                    assert controller.keys is not None
                    controller.keys_given += 1
                    self._answer(controller.keys())
                    return
                report = load(Report, body)
                with controller._changed:
                    controller.reports.append(report)
                    controller._changed.notify_all()
                self._answer(controller._reply(report))

            def do_GET(self) -> None:
                seen = self.path.rpartition("seen=")[2]
                with controller._changed:
                    controller._changed.wait_for(
                        lambda: str(controller._reply(None).number) != seen, timeout=2.0
                    )
                self._answer(controller._reply(None))

            def _answer(self, reply: Reply | BucketKeys) -> None:
                body = dump(reply)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        return Handler

    def wait(self, what: str, found: Callable[[Report], bool]) -> Report:
        """The newest report, once it fits."""
        with self._changed:
            fits = self._changed.wait_for(lambda: bool(self.reports) and found(self.reports[-1]), WAIT_S)
        assert fits, f"no report with {what}; the last was {self.reports[-1] if self.reports else None}"
        return self.reports[-1]

    def wait_state(self, state: AgentState) -> Report:
        return self.wait(state.value, lambda report: report.state is state)


@dataclass
class Bench:
    """One node with its folder, its bucket and its controller."""

    folder: Path
    controller: Controller = field(default_factory=Controller)
    process: subprocess.Popen[bytes] | None = None
    env: dict[str, str] = field(default_factory=dict)
    storage: str = ""  # "": a folder

    @property
    def home(self) -> Path:
        return self.folder / "node"

    @property
    def bucket(self) -> Bucket:
        return scoped(open_bucket(f"file://{self.folder / 'bucket'}"), job_prefix(JOB))

    def start(self, lease_s: float = 600.0) -> None:
        self.home.mkdir(exist_ok=True)
        (self.folder / "bucket").mkdir(exist_ok=True)
        config = {
            "api_url": self.controller.url, "token": TOKEN, "job": JOB, "owner": OWNER, "instance": "l-1",
            "storage": self.storage or f"file://{self.folder / 'bucket'}", "lease_s": lease_s,
            "cloud": "here", "region": "r1", "instance_id": "i-1",
            "poweroff": ["touch", str(self.folder / "off")],
        }  # fmt: skip
        path = self.home / "agent.json"
        path.write_text(json.dumps(config))
        path.chmod(0o600)
        output = (self.folder / "agent.out").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-m", "outlast", "--config", str(path)],
            stdout=output,
            stderr=output,
            env={**os.environ, **self.env},
            start_new_session=True,
        )
        output.close()

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            if number == signal.SIGKILL:
                self.process.wait(WAIT_S)

    def close(self) -> None:
        if self.process is not None:
            self.kill(signal.SIGCONT)
            self.kill()
            self.process.wait(WAIT_S)
        self.controller.close()

    def pointer(self) -> Pointer | None:
        read = read_pointer(self.bucket, OWNER, JOB)
        return read[0] if read is not None else None

    def log(self) -> str:
        path = self.home / "logs" / "output.log"
        return path.read_text() if path.exists() else ""


def assign(generation: int, run: str, **changes: Any) -> Command:
    work = Work(name="try", owner=OWNER, revision=1, run=run, checkpoint=CheckpointPlan(dir="saves"))
    return Command(
        CommandKind.ASSIGN, generation, attempt=f"a{generation}", work=replace(work, **changes), why="planned"
    )


def pack(bench: Bench, files: dict[str, str], digest: str = "") -> str:
    """Puts a packed working folder into the bucket, as a submit does; its key."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    key = code_key(digest or hashlib.sha256(body.getvalue()).hexdigest())
    (bench.folder / "bucket").mkdir(exist_ok=True)
    bench.bucket.create(key, zstandard.compress(body.getvalue()))
    return key


def until(what: str, true: Callable[[], bool], limit_s: float = WAIT_S) -> None:
    end_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end_s, f"never happened: {what}"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    try:
        return "Z" in (Path(f"/proc/{pid}/stat")).read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
