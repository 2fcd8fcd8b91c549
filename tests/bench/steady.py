"""What a running job costs in calls to its cloud: with 1,000 jobs no more than with one."""

from __future__ import annotations

import time

from tests.bench.figure import Figure
from tests.bench.tick import all_running

JOBS = 1000
SETTLE_S = 20.0
SPAN_S = 180.0


def steady_cloud_calls() -> list[Figure]:
    """All calls that go over the wire; the cloud has one region. About eight minutes."""
    one, many = _calls_a_minute(1), _calls_a_minute(JOBS)
    command = "python -m tests.bench steady_cloud_calls"
    return [
        Figure("cloud_calls_a_minute_1000_jobs", round(many, 2), "calls/min", 10.0, "lower", command),
        Figure("cloud_calls_1000_jobs_over_1", round(many / one, 2), "x", 1.2, "lower", command),
    ]


def _calls_a_minute(jobs: int) -> float:
    with all_running(jobs, SETTLE_S) as rig:
        before = len(rig.cloud.calls)
        time.sleep(SPAN_S)
        return (len(rig.cloud.calls) - before) * 60.0 / SPAN_S
