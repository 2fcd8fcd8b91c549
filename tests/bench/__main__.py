"""`make bench`: measures, writes bench/results.json, and fails when a limit is broken."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.bench.cloud import recovery_on_ec2
from tests.bench.environment import environment
from tests.bench.figure import Figure
from tests.bench.idle import agent_idle_cpu, controller_idle_cpu
from tests.bench.memory import agent_idle_mb, controller_mb
from tests.bench.saving import frozen_second_upload, save_durable, save_stall
from tests.bench.saving_beside import save_throughput
from tests.bench.speed import decide_quiet_jobs, gate_over_hash, help_over_pass
from tests.bench.steady import steady_cloud_calls
from tests.bench.tick import tick_quiet_jobs
from tests.bench.transfer import restores, uploads
from tests.bench.uploading import agent_uploads_to_folder_mb, agent_uploads_to_s3_mb
from tests.scale.measure import measure as many_jobs

FIGURES: dict[str, Callable[[], Figure | list[Figure]]] = {
    "help_over_pass": help_over_pass,
    "decide_1000_quiet_jobs": decide_quiet_jobs,
    "tick_1000_quiet_jobs": tick_quiet_jobs,
    "gate_over_hash": gate_over_hash,
    "save_stall": save_stall,
    "save_durable": save_durable,
    "frozen_second_upload": frozen_second_upload,
    "save_throughput": save_throughput,  # about 5 minutes
    "agent_idle_pss": agent_idle_mb,
    "agent_uploads_1gib_folder": agent_uploads_to_folder_mb,
    "agent_uploads_1gib_s3": agent_uploads_to_s3_mb,
    "uploads": uploads,
    "restores": restores,
    "controller_one_job_pss": controller_mb,
    "agent_idle_cpu": agent_idle_cpu,
    "controller_idle_cpu": controller_idle_cpu,
    "steady_cloud_calls": steady_cloud_calls,  # about 8 minutes
    "environment": environment,  # about 10 minutes, and 8 GB of disk
    "recovery_on_ec2": recovery_on_ec2,  # about 5 minutes, as root
    "many_jobs": many_jobs,  # about 6 minutes; on SQLite, then on a PostgreSQL of its own
}
RESULTS = Path("bench/results.json")


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures Outlast on this machine.")
    parser.add_argument("figure", nargs="*", help=f"one of {', '.join(FIGURES)}; none: all of them")
    names = parser.parse_args().figure or list(FIGURES)
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        parser.error(f"{unknown[0]} is none of {', '.join(FIGURES)}")
    done: list[Figure] = []
    for name in names:
        print(f"{name} …", end=" ", flush=True)
        measured = FIGURES[name]()
        figures = measured if isinstance(measured, list) else [measured]
        done += figures
        lines = [
            figure.words if len(figures) == 1 else f"\n  {figure.name}: {figure.words}" for figure in figures
        ]
        print(*lines, sep="")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(figure) for figure in done], indent=2) + "\n")
    return 0 if all(figure.holds for figure in done) else 1


if __name__ == "__main__":
    sys.exit(main())
