"""A bucket with damage in it: a job never starts at 0 because something could not be found or read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.stage import Stage, Status, first_steps, track
from tests.e2e.trainers import COUNT, COUNTER

GARBAGE = b'{"format": 1, "gener\x00\xff'


def _paused(stage: Stage, name: str) -> str:
    """A job with several checkpoints that rests."""
    env = {"STEPS": "100000", "TRACK": str(stage.folder / f"{name}.track"), "STEP_S": "0.05"}
    job = stage.submit(name, {"counter.py": COUNTER}, run=COUNT, env=env)
    stage.until_saved(job)
    stage.until("it has three checkpoints", lambda: len(stage.pointer(job)["kept"]) >= 3)
    stage.outlast("pause", name)
    stage.until_state(job, "PAUSED")
    return job


def _steps(stage: Stage, name: str) -> list[tuple[int, int]]:
    return track(stage.folder / f"{name}.track")


def _cancel(stage: Stage, job: str, name: str) -> None:
    stage.outlast("cancel", name)
    stage.until_state(job, "CANCELLED")


def _stopped(stage: Stage, job: str, number: int) -> Callable[[Status], bool]:
    """FAILED, and told for the `number`-th time."""
    return lambda s: s["state"] == "FAILED" and len(stage.events(job, "tell")) >= number


def test_a_garbage_pointer_stops_the_job_and_put_back_it_goes_on(shared: Stage) -> None:
    job = _paused(shared, "garbage")
    pointer = shared.job_folder(job) / "latest.json"
    good, last = pointer.read_bytes(), _steps(shared, "garbage")[-1]
    pointer.write_bytes(GARBAGE)
    shared.outlast("resume", "garbage")
    failed = shared.until_status(job, "it stops and tells", _stopped(shared, job, 1))
    assert "latest.json" in failed["why"]
    assert "`outlast resume garbage`" in shared.events(job, "tell")[-1]["why"]
    assert "latest.json" in shared.outlast("why", "garbage").out
    listed = shared.outlast("checkpoints", "ls", "garbage", code=4).err
    assert len(listed.splitlines()) == 1
    # However often it is wished for.
    shared.outlast("resume", "garbage")
    shared.until_status(job, "it stops and tells again", _stopped(shared, job, 2))
    assert pointer.read_bytes() == GARBAGE
    assert _steps(shared, "garbage")[-1] == last
    pointer.write_bytes(good)
    shared.outlast("resume", "garbage")
    status = shared.until_state(job, "RUNNING")
    shared.until_saved(job, status["generation"])
    assert list(first_steps(_steps(shared, "garbage")).values()) == [1, last[1] + 1]
    _cancel(shared, job, "garbage")


@pytest.mark.parametrize("damage", ["vanished", "overwritten"])
def test_a_pointer_that_is_lost_under_a_running_job_stops_it_and_put_back_it_goes_on(
    shared: Stage, damage: str
) -> None:
    env = {"STEPS": "100000", "TRACK": str(shared.folder / f"{damage}.track"), "STEP_S": "0.05"}
    job = shared.submit(damage, {"counter.py": COUNTER}, run=COUNT, env=env)
    shared.until_saved(job)
    pointer = shared.job_folder(job) / "latest.json"
    away = pointer.rename(pointer.with_name("away"))
    if damage == "overwritten":
        pointer.write_bytes(GARBAGE)
    failed = shared.until_status(job, "it stops and tells", _stopped(shared, job, 1))
    assert "latest.json" in failed["why"]
    shared.until("its machine is released", lambda: not shared.living_machines(job))
    durable = json.loads(away.read_bytes())["head"]["step"]
    told = len(shared.events(job, "tell"))
    shared.outlast("resume", damage)
    failed = shared.until_status(job, "it stops and tells again", _stopped(shared, job, told + 1))
    assert "latest.json" in failed["why"]
    assert set(first_steps(_steps(shared, damage))) == {1}
    away.replace(pointer)
    shared.outlast("resume", damage)
    newest = shared.until_saved(job, 2)["attempts"][-1]["generation"]
    begun = first_steps(_steps(shared, damage))
    story = shared.outlast("events", damage).out
    assert len(begun) == 2, story
    assert begun[newest] == durable + 1, story
    _cancel(shared, job, damage)


def _data_of(stage: Stage, job: str, number: int) -> Path:
    """The data file of the `number`-th newest checkpoint that may be used."""
    listed = stage.outlast("checkpoints", "ls", stage.status(job)["name"], "--json").json["checkpoints"]
    name: str = listed[number]["name"]
    (file,) = (stage.job_folder(job) / "checkpoints" / name).rglob("step.txt")
    return file


def _manifest_of(stage: Stage, job: str, number: int) -> Path:
    listed = stage.outlast("checkpoints", "ls", stage.status(job)["name"], "--json").json["checkpoints"]
    name: str = listed[number]["name"]
    return stage.job_folder(job) / "manifests" / f"{name}.json"


@pytest.mark.parametrize("part", ["data", "manifest"])
def test_when_the_newest_checkpoint_is_damaged_its_parent_is_used_and_that_is_told(
    shared: Stage, part: str
) -> None:
    name = f"damaged-{part}"
    job = _paused(shared, name)
    file = _data_of(shared, job, 0) if part == "data" else _manifest_of(shared, job, 0)
    body = bytearray(file.read_bytes())
    body[0] ^= 1
    file.write_bytes(body)
    listed = shared.outlast("checkpoints", "ls", name, "--json").json["checkpoints"]
    parent = listed[1]["step"]
    assert parent <= listed[0]["step"]  # equal: the final save of the pause may find no newer step
    shared.outlast("resume", name)
    shared.until_saved(job, 2)
    assert first_steps(_steps(shared, name))[2] == parent + 1
    (fell,) = shared.events(job, "restore.fell_back")
    assert listed[0]["name"] in fell["why"]
    assert shared.status(job)["attempts"][1]["last_step"] > parent
    _cancel(shared, job, name)


def test_when_no_checkpoint_verifies_it_stops_and_tells(shared: Stage) -> None:
    job = _paused(shared, "hopeless")
    for number in range(3):
        _data_of(shared, job, number).write_bytes(b"0 ")
    before = _steps(shared, "hopeless")
    shared.outlast("resume", "hopeless")
    failed = shared.until_status(job, "it stops and tells", _stopped(shared, job, 1))
    assert "verif" in failed["why"]
    assert _steps(shared, "hopeless") == before
    shared.until("its machine is released", lambda: not shared.living_machines(job))
