"""CPU of the agent and the controller while one job trains and has nothing to say."""

from __future__ import annotations

import functools
import os
import tempfile
import time
from pathlib import Path

from tests.bench.figure import Figure, lower
from tests.e2e.stage import PYTHON, Stage

SETTLE_S = 10.0
SPAN_S = 120.0
LIMIT_PERCENT = 1.0
SLEEPER = f"{PYTHON} -c 'import time; time.sleep(3600)'"  # a long step: no save, no log, no progress


def agent_idle_cpu() -> Figure:
    return lower("agent_idle_cpu", _shares()[0], "% of a core", LIMIT_PERCENT)


def controller_idle_cpu() -> Figure:
    return lower("controller_idle_cpu", _shares()[1], "% of a core", LIMIT_PERCENT)


@functools.cache
def _shares() -> tuple[float, float]:
    """Of the agent and of controller and API, over the same span, in percent of one core."""
    with tempfile.TemporaryDirectory(prefix="outlast-idle-") as folder:
        stage = Stage(Path(folder))
        try:
            stage.start()
            job = stage.submit("idle", {}, run=SLEEPER)
            stage.until_state(job, "RUNNING")
            pids = (_agent(stage), stage.server_pid())
            time.sleep(SETTLE_S)
            before_s, begun_s = [cpu_s(pid) for pid in pids], time.monotonic()
            time.sleep(SPAN_S)
            spent_s = [cpu_s(pid) - was for pid, was in zip(pids, before_s, strict=True)]
            span_s = time.monotonic() - begun_s
        finally:
            stage.close()
    return 100 * spent_s[0] / span_s, 100 * spent_s[1] / span_s


def cpu_s(pid: int) -> float:
    """What the kernel has counted for this process and its threads, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _agent(stage: Stage) -> int:
    found = [pid for pid, command in stage.processes().items() if "-m outlast --config" in command]
    assert len(found) == 1, f"one agent was expected: {found}"
    return found[0]
