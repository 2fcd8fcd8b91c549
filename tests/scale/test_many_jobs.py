"""Hundreds of jobs on the real controller and store, all machines taken at once: each counts once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.scale.rig import Rig, Speed
from tests.servers.postgres import postgres

from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.types import InstancePhase, JobState

pytestmark = pytest.mark.slow

LIMIT_S = 240.0
FAST = Speed(bucket_s=0.002, cloud_s=0.005)
# Of each job, over its start and one preemption.
TWICE = (Kind.LAUNCH_INTENDED, Kind.ATTEMPT_PLANNED, Kind.ATTEMPT_CLAIMED, Kind.INSTANCE_READY)


@contextmanager
def _rig(store: str, folder: Path) -> Iterator[Rig]:
    if store == "sqlite":
        yield Rig(f"sqlite:///{folder / 'outlast.db'}", FAST)
        return
    with postgres() as server:
        yield Rig(server.fresh(), FAST)


@pytest.mark.parametrize(("store", "jobs"), [("sqlite", 200), ("postgresql", 80)])
def test_all_machines_are_taken_at_once(store: str, jobs: int, tmp_path: Path) -> None:
    with _rig(store, tmp_path) as rig:
        try:
            _lose_all(rig, jobs)
        finally:
            rig.close()


def _lose_all(rig: Rig, jobs: int) -> None:
    def all_run() -> bool:
        return rig.states()[JobState.RUNNING] == jobs

    rig.submit(jobs)
    rig.start()
    rig.wait("all jobs run", all_run, LIMIT_S)
    first = set(rig.running())
    for launch_id in first:
        rig.fleet.notice(launch_id)

    def moved() -> bool:
        return all_run() and len(set(rig.running()) - first) == jobs and not first & set(rig.cloud.living())

    rig.wait("all run elsewhere, and the old machines have ended", moved, LIMIT_S)
    assert set(rig.cloud.launches.values()) == {2}
    assert len(rig.cloud.asked_s) == 2 * jobs, "no token stands for two machines"
    rig.wait("the old machines are known to be gone", lambda: _gone(rig) == first, LIMIT_S)
    kinds = _kinds(rig)
    assert {kind: kinds[kind] for kind in TWICE} == dict.fromkeys(TWICE, 2 * jobs)
    assert kinds[Kind.TELL] == 0


def _gone(rig: Rig) -> set[str]:
    return {one.launch_id for one in rig.store.instances() if one.phase is InstancePhase.GONE}


def _kinds(rig: Rig) -> Counter[Kind]:
    found: Counter[Kind] = Counter()
    page = rig.store.events(None, 0, 1000)
    while page:
        found.update(event.kind for event in page)
        page = rig.store.events(None, page[-1].seq, 1000)
    return found
