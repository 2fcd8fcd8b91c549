"""What only looks like a death, on real processes: nobody is replaced, ended or started anew.

All of it happens on one stage at once, since most of it is waiting: one job whose agent can't reach the
controller, one cut from controller *and* bucket, one on a frozen machine, one to which nothing happens;
then the controller is away, and comes back to a cloud that answers nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.long_trainer import LongJob, submit
from tests.e2e.stage import Stage

CUT_S = 60.0
FROZEN_S = 30.0
AWAY_S = 60.0
CLOUD_DOWN_S = 25.0  # longer than a controller waits for its first listing
WRITTEN = ("status", "checkpoints", "manifests", "logs")  # where a node that trains writes
STARTED_ANEW = ("attempt.planned", "launch.intended", "attempt.claimed", "attempt.running", "trainer.started")
ENDED = ("attempt.closed", "attempt.abandoned", "attempt.draining", "instance.terminating", "instance.gone")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    fresh = Stage(tmp_path)
    try:
        yield fresh
    finally:
        fresh.close()


@contextmanager
def _unwritable(job: LongJob) -> Iterator[None]:
    """Nothing of that job can be written to the bucket, by whomever; all that is there can be read."""
    folder = job.stage.job_folder(job.id)
    for name in WRITTEN:
        (folder / name).rename(folder / f"{name}.aside")
        (folder / name).touch()
    yield
    for name in WRITTEN:
        (folder / name).unlink()
        (folder / f"{name}.aside").rename(folder / name)


def _sleep_until(moment_s: float) -> None:
    time.sleep(max(0.0, moment_s - time.monotonic()))


def _became(job: LongJob, state: str) -> bool:
    return any(event["data"]["state"] == state for event in job.stage.events(job.id, "job.state"))


def _cut_and_frozen(unheard: LongJob, cut: LongJob, frozen: LongJob) -> None:
    stage = cut.stage
    begun_s = time.monotonic()
    for job in (unheard, cut):
        stage.cloud.silence(stage.machine(job.id), CUT_S)
    stage.cloud.freeze(stage.machine(frozen.id))
    at = frozen.last()
    with _unwritable(cut):
        head = stage.pointer(cut.id)["head"]
        _sleep_until(begun_s + FROZEN_S)
        assert frozen.last() <= at + 1, "it was not frozen"
        stage.cloud.thaw(stage.machine(frozen.id))
        for job in (unheard, cut):
            job.trains_on()
        _sleep_until(begun_s + CUT_S)
        assert stage.pointer(cut.id)["head"] == head, "it was not cut from the bucket"
    assert stage.pointer(unheard.id)["head"]["step"] > head["step"], "it can reach the bucket"
    for job in (cut, frozen):
        assert _became(job, "UNREACHABLE"), "the fault was not even noticed"


def _away(stage: Stage, jobs: list[LongJob]) -> None:
    """For a minute; and when it is back, the cloud says nothing for a while."""
    stage.kill_server()
    back_s = time.monotonic() + AWAY_S
    for region in sorted(stage.cloud.config().zones):
        stage.cloud.fail_listing(region, AWAY_S + CLOUD_DOWN_S)
    for job in jobs:
        job.trains_on()
    _sleep_until(back_s)
    stage.start()
    up_s = time.monotonic() + CLOUD_DOWN_S
    for job in jobs:
        job.trains_on()
    _sleep_until(up_s)
    events = stage.outlast("events", "--json", "--last", "0").json["events"]
    assert any(event["kind"] == "cloud.trouble" for event in events), "the cloud was not even missed"


def _undisturbed(job: LongJob, machine: str) -> None:
    """By the event log, by the cloud's own list, by the bucket, and by what the trainer did itself."""
    stage = job.stage
    kinds = [event["kind"] for event in stage.events(job.id)]
    for kind in STARTED_ANEW:
        assert kinds.count(kind) == 1, f"{kind}: {stage.story(job.id)}"
    assert not set(kinds) & set(ENDED), stage.story(job.id)
    mine = [one for one in stage.cloud.instances() if one["job"] == job.id]
    assert [(one["id"], one["state"]) for one in mine] == [(machine, "running")]
    pointer = stage.pointer(job.id)
    assert (pointer["generation"], pointer["state"]) == (1, "running")
    steps = job.steps()
    assert steps == [(1, step) for step in range(1, len(steps) + 1)], "a step was lost, or done twice"


def test_silence_cuts_a_freeze_and_an_absent_controller_are_no_deaths(stage: Stage) -> None:
    stage.start()
    jobs = [submit(stage, name, step_s=0.2) for name in ("unheard", "cut", "frozen", "calm")]
    unheard, cut, frozen, _calm = jobs
    for job in jobs:
        stage.until_saved(job.id)
    machines = {job.id: stage.machine(job.id) for job in jobs}
    _cut_and_frozen(unheard, cut, frozen)
    for job in jobs:
        stage.until_state(job.id, "RUNNING")
        _undisturbed(job, machines[job.id])
    _away(stage, jobs)
    for job in jobs:
        stage.until_state(job.id, "RUNNING")
        _undisturbed(job, machines[job.id])
        job.finishes()
        assert {generation for generation, _ in job.steps()} == {1}
