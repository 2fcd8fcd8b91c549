"""CPU of a whole tick over 1,000 running jobs where nothing has changed: observe, decide, act, real store."""

from __future__ import annotations

import logging
import statistics
import tempfile
import time

import structlog
from tests.bench.figure import Figure, lower
from tests.scale.rig import Rig

from outlast_orchestrator.core.types import JobState

JOBS = 1000
RUN_LIMIT_S = 300.0
SETTLE_S = 10.0
SPAN_S = 30.0


def tick_quiet_jobs() -> Figure:
    """The median tick of a span; the nodes go on reporting, as they do."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(f"sqlite:///{folder}/outlast.db")
        try:
            rig.submit(JOBS)
            rig.start()
            rig.wait("all jobs run", lambda: rig.states()[JobState.RUNNING] == JOBS, RUN_LIMIT_S)
            time.sleep(SETTLE_S)
            before = len(rig.controller.ticks)
            time.sleep(SPAN_S)
            quiet = [tick.cpu_s for tick in rig.controller.ticks[before:]]
        finally:
            rig.close()
    return lower("tick_1000_quiet_jobs", statistics.median(quiet), "CPU s", 0.3)
