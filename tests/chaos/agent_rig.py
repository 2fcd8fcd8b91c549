"""Real agents on one bucket, each with a home and a controller of its own, and what must hold of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.agent.node.agent_kit import JOB, OWNER, TOKEN, Controller, assign, gone

from outlast.bucket.client import open_bucket, scoped
from outlast.bucket.generations import read_pointer
from outlast.cadence import Pace
from outlast.ports import Bucket
from outlast.protocol.codec import FormatError, load
from outlast.protocol.messages import (
    OVER,
    AgentState,
    CheckpointPlan,
    Command,
    CommandKind,
    Permission,
    WriterRef,
)
from outlast.protocol.objects import POINTER_KEY, Pointer, PointerState, job_prefix

HERE = Path(__file__).parent
LAUNCHER, TRAINER = HERE / "agent_launcher.py", HERE / "lockstep_trainer.py"
WAIT_S = 120.0
LOOK_EVERY_S = 0.01
FAST = Pace(
    report_every_s=0.5, report_again_s=0.2, status_every_s=1.0, notice_poll_s=5.0, pointer_look_every_s=0.5,
    boot_clock_every_s=0.1, log_every_s=0.5, scan_every_s=0.05, trainer_every_s=0.05, outputs_every_s=5.0,
    hang_s=5.0, freeze_s=1.0, wishes_every_s=1000.0,
)  # fmt: skip
KEEP = 2
NO_KEYS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Strike:
    """What befalls an agent: SIGKILL (`kill`) or SIGSTOP (`stop`), before or after an operation."""

    point: str  # `thread | bucket call | operation | number`
    moment: str  # before, after
    deed: str = "kill"

    def __str__(self) -> str:
        return f"{self.deed} {self.moment} {self.point}"


@dataclass(frozen=True)
class Plan:
    """What the launcher is told."""

    home: str
    returns: str  # every write of the pointer that returned, one line each, fsynced
    pace: dict[str, float]
    record: str = ""  # every point that was reached
    polling: bool = False  # those of tasks that look again and again as well, each time
    faults: str = ""  # a file with what shall go wrong for as long as it exists
    strike: dict[str, str] | None = None


class Node:
    """One agent: its process, its home and its controller."""

    def __init__(self, rig: Rig, name: str, generation: int, **trainer: object) -> None:
        self.rig, self.name, self.generation = rig, name, generation
        self.home = rig.folder / name
        self.returns = rig.folder / f"{name}.returns"
        self.record = rig.folder / f"{name}.points"
        self.faults = rig.folder / f"{name}.faults"
        self.controller = Controller()
        self.process: subprocess.Popen[bytes] | None = None
        self.records = bool(trainer.pop("records", True))
        self.polling = bool(trainer.pop("polling", False))
        self._env = {"ROOM": rig.folder, "POINTER": rig.pointer_file, "SAVES": 3, "LAST": "wait", **trainer}

    # how it is told what to do

    def command(self, generation: int) -> Command:
        env = {name: str(value) for name, value in self._env.items()}
        plan = CheckpointPlan(dir="saves", keep=KEEP)
        run = f"exec {sys.executable} -I -S {TRAINER}"
        return assign(generation, run, env=env, checkpoint=plan, outputs=("curve.txt",), drain_limit_s=30.0)

    def told(self, permission: Permission) -> None:
        self.controller.tell(self.command(self.generation), run=permission)

    def drain(self) -> None:
        order = Command(CommandKind.DRAIN, self.generation, why="moving", limit_s=30.0)
        self.controller.tell(self.command(self.generation), order)

    # its process

    def start(
        self, strike: Strike | None = None, storage: str = "", keys: Mapping[str, str] = NO_KEYS
    ) -> None:
        """`keys`: in its environment; where its controller has some, it asks for those."""
        self.home.mkdir(exist_ok=True)
        config = {
            "api_url": self.controller.url, "token": TOKEN, "job": JOB, "owner": OWNER,
            "instance": f"l-{self.name}", "storage": storage or f"file://{self.rig.bucket_folder}",
            "lease_s": 600.0, "cloud": "here", "region": "r1", "instance_id": f"i-{self.name}",
            "poweroff": ["touch", str(self.home / "off")], "job_keys": self.controller.keys is not None,
        }  # fmt: skip
        path, plan_path = self.home / "agent.json", self.rig.folder / f"{self.name}.plan"
        path.touch(0o600)
        path.write_text(json.dumps(config))
        plan = Plan(
            str(self.home), str(self.returns), asdict(FAST), record=str(self.record) if self.records else "",
            polling=self.polling, faults=str(self.faults), strike=asdict(strike) if strike else None,
        )  # fmt: skip
        plan_path.write_text(json.dumps(asdict(plan)))
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OUTLAST_", "AWS_"))}
        with (self.rig.folder / f"{self.name}.out").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-I", str(LAUNCHER), str(plan_path), "--config", str(path)],
                stdout=output, stderr=output, env={**inherited, **keys}, start_new_session=True,
            )  # fmt: skip

    def struck(self) -> bool:
        """Dead or stopped."""
        assert self.process is not None
        return self.process.poll() is not None or self.stopped()

    def stopped(self) -> bool:
        assert self.process is not None
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] == "T"

    def wake(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(WAIT_S)

    def close(self) -> None:
        self.kill()
        self.controller.close()

    # what it says

    def state(self) -> AgentState | None:
        reports = self.controller.reports
        mine = [report for report in reports[-1:] if report.generation == self.generation]
        return mine[-1].state if mine else None

    def over(self) -> bool:
        return self.state() in OVER

    def last_return(self) -> Pointer | None:
        """The newest write of the pointer that returned to this agent."""
        try:
            lines = self.returns.read_bytes().splitlines()
        except FileNotFoundError:
            return None
        return next((found for line in reversed(lines) if (found := _noted(line))), None)

    def log(self) -> str:
        told = [self.rig.folder / f"{self.name}.out", self.home / "logs" / "output.log"]
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in told if path.exists())


class Rig:
    """A bucket, and the nodes that come and go on it."""

    def __init__(self, folder: Path, template: Path | None = None) -> None:
        self.folder = folder
        self.bucket_folder = folder / "bucket"
        folder.mkdir(parents=True, exist_ok=True)
        if template is None:
            self.bucket_folder.mkdir()
        else:
            shutil.copytree(template, self.bucket_folder)
        self.pointer_file = self.bucket_folder / job_prefix(JOB) / POINTER_KEY
        self.bucket: Bucket = scoped(open_bucket(f"file://{self.bucket_folder}"), job_prefix(JOB))
        self.nodes: list[Node] = []

    def node(self, name: str, generation: int, **trainer: object) -> Node:
        node = Node(self, name, generation, **trainer)
        self.nodes.append(node)
        return node

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        left = [pid for pid in self.trainers() if not gone(pid)]
        self.until("every trainer is dead", lambda: all(gone(pid) for pid in left))

    def pointer(self) -> Pointer | None:
        read = read_pointer(self.bucket, OWNER, JOB)
        return read[0] if read is not None else None

    def permission(self, *, closing: bool = True) -> Permission:
        """What a controller grants that has witnesses for the end of whoever the pointer names."""
        pointer = self.pointer()
        if pointer is None:
            return Permission()
        them = WriterRef(pointer.generation, pointer.writer)
        return Permission(
            closed=(them,) if closing and pointer.state is PointerState.RUNNING else (),
            over_ended=them if pointer.state is PointerState.ENDED else None,
            durable_step=pointer.head.step if pointer.head else None,
        )

    def until(self, what: str, true: Callable[[], Any], limit_s: float = WAIT_S) -> Any:
        end_s = time.monotonic() + limit_s
        while not (found := true()):
            if time.monotonic() > end_s:
                raise AssertionError(f"not within {limit_s:.0f} s: {what}")
            time.sleep(LOOK_EVERY_S)
        return found

    # what the trainers wrote down

    def track(self) -> list[list[str]]:
        try:
            return [line.split() for line in (self.folder / "track").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def told(self, generation: int, word: str) -> list[list[str]]:
        return [line[2:] for line in self.track() if line[0] == str(generation) and line[1] == word]

    def trainers(self, generation: int | None = None) -> list[int]:
        rows = [row for row in self.track() if row[1] == "pid"]
        return [int(row[2]) for row in rows if generation in (None, int(row[0]))]

    def story(self) -> str:
        body = self.pointer_file.read_text(errors="replace") if self.pointer_file.exists() else "none"
        told = [f"pointer: {body}", f"track: {self.track()[-12:]}"]
        for node in self.nodes:
            last = replace(node.controller.reports[-1], facts=()) if node.controller.reports else None
            told += [f"--- {node.name}: {last}", node.log()]
        return "\n".join(told)


def _noted(line: bytes) -> Pointer | None:
    try:
        return load(Pointer, line)
    except FormatError:
        return None  # killed in the middle of noting it
