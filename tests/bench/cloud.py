"""A machine is lost on EC2: when another one is asked for, when the user's code runs again, at what cost.

Machines are namespaces with systemd and sshd, ready about two seconds after the launch; the bucket is
SeaweedFS, the keys are cut down to the job. Needs root.
"""

from __future__ import annotations

import functools
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.bench.figure import Figure
from tests.e2e.cloud_stage import CloudStage, cloud_stage
from tests.e2e.test_ec2 import account
from tests.servers.ec2_machines import Ec2Cloud, ec2_yard
from tests.servers.machine import skip_without_machines
from tests.servers.yard import HERE

KILLS = 5  # of each kind
LOOK_S = 0.02
LIMIT_S = 120.0
REQUESTED_S = {"refused": 5.0, "silent": 15.0}
RUNS_AGAIN_S = {"refused": 15.0, "silent": 25.0}
CALLS_MAX = 6
BUNDLE_MB_MAX = 25.0
INSTALL_S_MAX = 8.0
AGENT_MB_MAX = 80.0
MIB = 1 << 20

# Says that it runs, before anything else; saves often.
TRAINER = """
import os, pathlib, socket, time
with socket.create_connection((os.environ["HEAR"], int(os.environ["PORT"]))) as line:
    line.sendall(os.environ["OUTLAST_GENERATION"].encode())
root = pathlib.Path(os.environ["OUTLAST_CHECKPOINT_DIR"])
begin = os.environ.get("OUTLAST_RESUME_FROM")
step = int(pathlib.Path(begin).read_text()) if begin else 0
while True:
    step += 1
    time.sleep(0.1)
    if step % 10 == 0:
        fresh = root / f".step_{step}.new"
        fresh.write_text(str(step))
        fresh.rename(root / f"step_{step}.bin")
"""


@dataclass
class Heard:
    """When which generation's code began to run."""

    port: int = 0
    at_s: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Loss:
    requested_s: float
    runs_again_s: float
    calls: int


@dataclass
class Rig:
    here: CloudStage[Ec2Cloud]
    heard: Heard
    job: str = ""
    losses: dict[str, list[Loss]] = field(default_factory=dict)
    installs_s: list[float] = field(default_factory=list)
    agents_mb: list[float] = field(default_factory=list)

    def until(self, what: str, true: Callable[[], object]) -> float:
        end_s = time.monotonic() + LIMIT_S
        while not true():
            assert time.monotonic() < end_s, f"not within {LIMIT_S:.0f} s: {what}"
            time.sleep(LOOK_S)
        return time.monotonic()

    def lose(self, kind: str, generation: int) -> None:
        stage, yard = self.here.stage, self.here.yard
        stage.until_saved(self.job, generation=generation)
        (machine,) = yard.running()
        self.agents_mb.append(_agent_mb(yard.machines[machine].process.pid))
        calls = yard.cloud.server.calls
        before, lost_s = len(calls), time.monotonic()
        if kind == "silent":
            yard.machines[machine].cut()
        yard.take(machine)

        def launched() -> list[tuple[str, str]]:
            return [call for call in calls[before:] if call[0] == "CreateFleet"]

        requested_s = self.until("a replacement is asked for", launched)
        self.until("the code runs again", lambda: generation + 1 in self.heard.at_s)
        again_s = self.heard.at_s[generation + 1]
        loss = Loss(requested_s - lost_s, again_s - lost_s, len(calls) - before)
        self.losses.setdefault(kind, []).append(loss)
        self.until("it is installed", lambda: self._installed(generation + 1))

    def _installed(self, generation: int) -> bool:
        """From the machine's start to its agent's first word, as the events tell it."""
        events = self.here.stage.events(self.job, "launch.accepted", "instance.ready")
        asked = [event["at"] for event in events if event["kind"] == "launch.accepted"]
        ready = [event["at"] for event in events if event["kind"] == "instance.ready"]
        if len(ready) < generation:
            return False
        self.installs_s.append(ready[generation - 1] - asked[generation - 1])
        return True


def _listen(heard: Heard) -> Callable[[], None]:
    server = socket.create_server((HERE, 0))
    heard.port = server.getsockname()[1]

    def run() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return  # it was closed: the measurement is over
            with line:
                generation = int(line.recv(16) or b"0")
            heard.at_s.setdefault(generation, time.monotonic())

    threading.Thread(target=run, daemon=True).start()
    return server.close


@functools.cache
def _measured() -> tuple[Rig, float]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="outlast-cloud-")))
        yard = stack.enter_context(ec2_yard(folder / "machines"))
        here = stack.enter_context(cloud_stage(folder, yard, account(yard.cloud), "T4"))
        rig = Rig(here, Heard())
        stack.callback(_listen(rig.heard))
        env = {"HEAR": HERE, "PORT": str(rig.heard.port)}
        rig.job = here.stage.submit(
            "lost", {"train.py": TRAINER}, run="python3 train.py", env=env, resources={"gpus": ["T4:1"]}
        )
        kinds = ["refused", "silent"] * KILLS
        for generation, kind in enumerate(kinds, 1):
            rig.lose(kind, generation)
        bundles = [file.stat().st_size for file in (here.stage.home / "bundles").iterdir()]
        return rig, max(bundles) / MIB


def recovery_on_ec2() -> list[Figure]:
    """About five minutes; nothing where there can be no machines."""
    try:
        skip_without_machines()
    except pytest.skip.Exception as why:
        print(f"not measured: {why}")
        return []
    rig, bundle_mb = _measured()
    found = []
    for kind, losses in rig.losses.items():
        requested_s = statistics.median(loss.requested_s for loss in losses)
        again_s = statistics.median(loss.runs_again_s for loss in losses)
        calls = statistics.median(loss.calls for loss in losses)
        found += [
            _figure(f"ec2_{kind}_replacement_asked", requested_s, "s", REQUESTED_S[kind]),
            _figure(f"ec2_{kind}_code_runs_again", again_s, "s", RUNS_AGAIN_S[kind]),
            _figure(f"ec2_{kind}_cloud_calls", calls, "calls", CALLS_MAX),
        ]
    return [
        *found,
        _figure("ssh_bundle", bundle_mb, "MiB", BUNDLE_MB_MAX),
        _figure("launch_to_agent", statistics.median(rig.installs_s), "s", INSTALL_S_MAX),
        _figure("agent_on_node_pss_anon", statistics.median(rig.agents_mb), "MiB", AGENT_MB_MAX),
    ]


def _figure(name: str, value: float, unit: str, limit: float) -> Figure:
    return Figure(name, round(value, 2), unit, limit, "lower", "python -m tests.bench recovery_on_ec2")


def _agent_mb(machine_pid: int) -> float:
    """Memory of its own of the agent inside, seen from outside."""
    for pid in _below(machine_pid):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        if b" --config " in command and b"agent.json" in command and b"python" in command:
            rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            return sum(int(row.split()[1]) for row in rows if row.startswith("Pss_Anon:")) * 1024 / MIB
    raise AssertionError("no agent runs in this machine")


def _below(pid: int) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        try:
            children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
        except FileNotFoundError:
            continue  # it has ended meanwhile
        waiting += [int(child) for child in children]
    return found
