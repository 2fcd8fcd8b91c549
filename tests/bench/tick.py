"""CPU of a whole tick over 1,000 running jobs where nothing has changed: observe, decide, act, real store."""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from tests.bench.figure import Figure, lower
from tests.scale.rig import Rig

from outlast_orchestrator.core.types import JobState

JOBS = 1000
RUN_LIMIT_S = 300.0
SETTLE_S = 10.0
SPAN_S = 30.0


@contextmanager
def all_running(jobs: int, settle_s: float) -> Iterator[Rig]:
    """The nodes go on reporting, as they do; nothing else happens."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(f"sqlite:///{folder}/outlast.db")
        try:
            rig.submit(jobs)
            rig.start()
            rig.wait("all jobs run", lambda: rig.states()[JobState.RUNNING] == jobs, RUN_LIMIT_S)
            time.sleep(settle_s)
            yield rig
        finally:
            rig.close()


def tick_quiet_jobs() -> Figure:
    """The median tick of a span."""
    with all_running(JOBS, SETTLE_S) as rig:
        before = len(rig.controller.ticks)
        time.sleep(SPAN_S)
        quiet = [tick.cpu_s for tick in rig.controller.ticks[before:]]
    return lower("tick_1000_quiet_jobs", statistics.median(quiet), "CPU s", 0.3)
