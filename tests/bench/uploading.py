"""Memory of the agent alone while it brings a checkpoint of 1 GiB into its bucket."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tests.agent.node.agent_kit import Bench, assign
from tests.bench.figure import Figure, lower
from tests.bench.memory import rollup_mb
from tests.servers.seaweedfs import ADMIN, seaweedfs

from outlast.protocol.messages import Permission, Report

FILES, FILE_BYTES = 4, 256 << 20
LOOK_EVERY_S = 0.05
UPLOAD_LIMIT_S = 300.0
LIMIT_MB = 80.0

# Saves once, in four large files, and then does nothing.
TRAINER = f"""
import os, time
from pathlib import Path
import outlast
from outlast.checkpoint_files import write

def fill(folder):
    block = os.urandom(1 << 20)
    for number in range({FILES}):
        with (folder / f"shard-{{number}}.bin").open("wb") as file:
            for _ in range({FILE_BYTES >> 20}):
                file.write(block)

outlast.log(step=1)
write(Path(os.environ["OUTLAST_CHECKPOINT_DIR"]), 1, fill)
time.sleep(3600)
"""


def agent_uploads_to_folder_mb() -> Figure:
    with tempfile.TemporaryDirectory() as folder, closing(Bench(Path(folder))) as bench:
        return lower("agent_uploads_1gib_folder", _peak_mb(bench), "MB Pss_Anon", LIMIT_MB)


def agent_uploads_to_s3_mb() -> Figure:
    """A real S3 server on loopback."""
    with tempfile.TemporaryDirectory() as folder:
        served = Path(folder) / "served"
        served.mkdir()
        with seaweedfs(served) as server, closing(Bench(Path(folder))) as bench:
            bench.storage = server.url()
            bench.env = {f"AWS_{name.upper()}": value for name, value in ADMIN.items()}
            return lower("agent_uploads_1gib_s3", _peak_mb(bench), "MB Pss_Anon", LIMIT_MB)


def _peak_mb(bench: Bench) -> float:
    """The most that was seen from the agent's start until the checkpoint is durable."""
    script = bench.folder / "train.py"
    script.write_text(TRAINER)
    bench.controller.tell(assign(1, f"exec {sys.executable} {script}"), run=Permission())
    bench.start()
    assert bench.process is not None
    peak_mb, end_s = 0.0, time.monotonic() + UPLOAD_LIMIT_S
    while not any(_durable(report) for report in bench.controller.reports[-1:]):
        if bench.process.poll() is not None or time.monotonic() > end_s:
            raise RuntimeError(f"no durable checkpoint; the log: {bench.log()[-500:]}")
        peak_mb = max(peak_mb, rollup_mb(bench.process.pid, "Pss_Anon"))
        time.sleep(LOOK_EVERY_S)
    return peak_mb


def _durable(report: Report) -> bool:
    return report.save.durable is not None
