"""Memory of the agent and the controller, each alone, as proportional set size."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.figure import Figure, lower

from outlast_orchestrator.cli.client import read_server_file
from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.demo.stage import Size, Stage

SETTLE_S = 5.0
RUNNING_LIMIT_S = 60.0


def rollup_mb(pid: int, key: str) -> float:
    """Of this process alone, from the kernel's own sum."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().split("\n"):
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"/proc/{pid}/smaps_rollup has no {key}")


def agent_idle_mb() -> Figure:
    """An agent that waits for an assignment; its controller is away."""
    with tempfile.TemporaryDirectory() as folder:
        bucket = Path(folder) / "bucket"
        bucket.mkdir()
        config = Path(folder) / "agent.json"
        values = {
            "api_url": "http://127.0.0.1:9",
            "token": "none",
            "job": "bench",
            "owner": "bench",
            "instance": "bench",
            "storage": f"file://{bucket}",
            "lease_s": 600.0,
        }
        config.write_text(json.dumps(values))
        config.chmod(0o600)
        agent = subprocess.Popen(
            [sys.executable, "-I", "-m", "outlast", "--config", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OUTLAST_POWEROFF": "/bin/true"},
        )
        try:
            time.sleep(SETTLE_S)
            value = rollup_mb(agent.pid, "Pss")
        finally:
            agent.send_signal(signal.SIGKILL)
            agent.wait()
    return lower("agent_idle_pss", value, "MB", 80.0)


def controller_mb() -> Figure:
    """Controller and API, one process, with one job that trains on the local cloud."""
    stage = Stage(SystemClock(), Size(steps=100_000))
    try:
        stage.start_server()
        job = stage.submit()
        begun_s = time.monotonic()
        while stage.status(job)["state"] != "RUNNING":
            if time.monotonic() - begun_s > RUNNING_LIMIT_S:
                raise TimeoutError(f"the job did not run: {stage.status(job)['why']}")
            time.sleep(0.5)
        time.sleep(SETTLE_S)
        found = read_server_file(stage.home)
        assert found is not None
        value = rollup_mb(int(found["pid"]), "Pss")
    finally:
        stage.close(keep=False)
    return lower("controller_one_job_pss", value, "MB", 150.0)
