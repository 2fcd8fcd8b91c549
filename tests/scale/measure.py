"""Measures the controller with many jobs: a quiet tick, memory, store, API, all machines taken at once."""

from __future__ import annotations

import logging
import os
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import structlog
from sqlalchemy import text
from tests.bench.figure import Figure
from tests.scale.load import Latency, drive
from tests.scale.rig import KEY, Rig
from tests.servers.postgres import postgres

from outlast.protocol.codec import to_json
from outlast_orchestrator.core.tokens import node_token
from outlast_orchestrator.core.types import JobState
from outlast_orchestrator.store.engine import store_file

JOBS = 1000
QUIET_TICK_LIMIT_S = 0.3
MASS_LIMIT_S = 60.0
SETTLE_S = 8.0
QUIET_S = 20.0
API_S = 20.0
STORES = ("sqlite", "postgresql")


def measure(jobs: int = JOBS, stores: tuple[str, ...] = STORES, url: str = "") -> list[Figure]:
    """Of each store; with a `url`, of that one. Limits hold for up to 1,000 jobs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found: list[Figure] = []
    for name in [url] if url else stores:
        with tempfile.TemporaryDirectory(prefix="outlast-scale-") as folder:
            server = postgres(durable=True) if name == "postgresql" else nullcontext()
            with server as started:
                address = url or (f"sqlite:///{folder}/outlast.db" if started is None else started.fresh())
                kind = address.partition(":")[0].partition("+")[0]
                found += _Session(Rig(address), jobs, kind, Path(folder)).run()
    return found


class _Session:
    """One life of a controller: start all, be quiet, be asked, lose all."""

    def __init__(self, rig: Rig, jobs: int, store: str, folder: Path) -> None:
        self._rig = rig
        self._jobs = jobs
        self._store = store
        self._folder = folder
        self._limit_s = max(300.0, jobs * 0.6)
        self._figures: list[Figure] = []

    def run(self) -> list[Figure]:
        rig = self._rig
        rig.submit(self._jobs)
        rig.start()
        try:
            took_s = rig.wait("all jobs run", self._all_run, self._limit_s)
            self._note("start_all", took_s, "s until all run")
            self._quiet()
            self._sizes()
            self._api()
            self._mass()
        finally:
            rig.close()
        return self._figures

    def _all_run(self) -> bool:
        return self._rig.states()[JobState.RUNNING] == self._jobs

    def _note(self, name: str, value: float, unit: str, limit: float | None = None) -> None:
        full = f"{self._store}_{self._jobs}_jobs_{name}"
        command = f"python -m tests.scale --jobs {self._jobs}"
        limit = limit if self._jobs <= JOBS else None
        self._figures.append(Figure(full, round(value, 3), unit, limit, "lower", command))

    def _quiet(self) -> None:
        rig = self._rig
        time.sleep(SETTLE_S)
        begun_s, cpu_s, fleet_s = time.monotonic(), time.process_time(), rig.fleet.cpu_s
        time.sleep(QUIET_S)
        spent_s = time.process_time() - cpu_s - (rig.fleet.cpu_s - fleet_s)
        ticks = [tick.cpu_s for tick in rig.controller.ticks if tick.begun_s >= begun_s]
        self._note("quiet_tick", statistics.median(ticks), "CPU s", QUIET_TICK_LIMIT_S)
        self._note("quiet_tick_max", max(ticks), "CPU s")
        self._note("quiet_cpu", spent_s / (time.monotonic() - begun_s), "of a core, pointer reads included")

    def _sizes(self) -> None:
        self._note("pss", _pss_mb(), "MB, the simulated nodes and buckets included")
        file = store_file(self._rig.url)
        if file is not None:
            size = sum(part.stat().st_size for part in file.parent.glob(file.name + "*"))
        else:
            with self._rig.store.engine.connect() as connection:
                size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        self._note("store", size / 1e6, "MB")

    def _api(self) -> None:
        """Only up to 1,000: more reports than that are more than one client process can send."""
        if self._jobs > JOBS:
            return
        rig = self._rig
        members = list(rig.fleet.members.values())
        plan = {
            "url": rig.listen(),
            "admin": rig.admin_token(),
            "job": members[0].config.job,
            "seconds": API_S,
            "nodes": [[node_token(KEY, node.config.instance), to_json(node.report())] for node in members],
        }
        found = drive(self._folder, plan)
        rig.fleet.speak_from(3_000_000)
        for name, latency in sorted(found.items()):
            self._latency(name, latency)

    def _latency(self, name: str, latency: Latency) -> None:
        self._note(f"api_{name}_median", latency.median_ms, "ms")
        self._note(f"api_{name}_p95", latency.p95_ms, f"ms ({latency.count} requests)")

    def _mass(self) -> None:
        rig = self._rig
        rig.wait("all jobs run", self._all_run, self._limit_s)
        before = dict(rig.cloud.launches)
        doomed = rig.running()
        begun_s = time.monotonic()
        for launch_id in doomed:
            rig.fleet.notice(launch_id)
        wanted = sum(before.values()) + len(doomed)
        took_s = rig.wait("all asked for", lambda: sum(rig.cloud.launches.values()) >= wanted, self._limit_s)
        self._note("mass_preemption_asked", took_s, "s until all replacements were asked for", MASS_LIMIT_S)
        rig.wait(
            "all run again", lambda: self._all_run() and not set(doomed) & set(rig.running()), self._limit_s
        )
        self._note("mass_preemption_running", time.monotonic() - begun_s, "s until all run again")
        twice = [job for job, count in rig.cloud.launches.items() if count > before[job] + 1]
        assert not twice, f"launched twice: {twice[:5]}"


def _pss_mb() -> float:
    for line in Path(f"/proc/{os.getpid()}/smaps_rollup").read_text().split("\n"):
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError("smaps_rollup has no Pss")
