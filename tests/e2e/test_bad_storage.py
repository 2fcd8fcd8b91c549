"""Buckets that are absent, refuse, vanish or fill up: told in one line; training goes on, nothing is lost."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.disks import small_disk
from tests.e2e.stage import Stage, one_line, track
from tests.e2e.trainers import COUNT, COUNTER
from tests.servers.seaweedfs import ADMIN, S3Server, seaweedfs


def _env(stage: Stage, **more: object) -> dict[str, str]:
    values = {"STEPS": 100_000, "TRACK": stage.folder / "track", **more}
    return {key: str(value) for key, value in values.items()}


def _last(stage: Stage) -> int:
    steps = track(stage.folder / "track")
    return steps[-1][1] if steps else 0


def _trains_on(stage: Stage, steps: int = 40) -> None:
    at = _last(stage)
    stage.until(f"it trains on from step {at}", lambda: _last(stage) > at + steps)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


def _closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _refused(stage: Stage, storage: str, *words: str, **keys: str) -> None:
    """A job with a folder is refused when the folder is sent; nothing is launched for it."""
    stage.environment.update({"OUTLAST_STORAGE": storage, **keys})
    stage.start()
    ran = stage.outlast("submit", stage.job_file("x", {"counter.py": COUNTER}, run=COUNT), "-y", code=4)
    one_line(ran.err.splitlines()[-1], *words)  # above it stand plan and price
    assert stage.get("/v1/jobs")["jobs"] == []
    assert stage.cloud.instances() == []


def test_a_storage_folder_that_is_not_there_is_told_and_the_job_runs_once_it_is(stage: Stage) -> None:
    folder = stage.folder / "no" / "such" / "bucket"
    _refused(stage, f"file://{folder}", str(folder), "create or mount it")
    job = stage.submit("later", {}, run="echo there it is")
    status = stage.until_status(job, "it says what is wrong", lambda s: str(folder) in s["why"])
    assert status["state"] == "PENDING"
    assert stage.cloud.instances() == []
    folder.mkdir(parents=True)
    stage.until_state(job, "SUCCEEDED")


def test_a_storage_address_where_nobody_listens(stage: Stage) -> None:
    storage = f"s3://b/x?endpoint=http://127.0.0.1:{_closed_port()}&allow_http=true&region=us-east-1"
    _refused(stage, storage, "127.0.0.1", AWS_ACCESS_KEY_ID="k", AWS_SECRET_ACCESS_KEY="s")


def test_an_s3_bucket_that_does_not_exist(stage: Stage, s3: S3Server) -> None:
    keys = {"AWS_ACCESS_KEY_ID": ADMIN["access_key_id"], "AWS_SECRET_ACCESS_KEY": ADMIN["secret_access_key"]}
    _refused(stage, s3.url("nobodys"), "nobodys", **keys)


def test_s3_keys_that_are_wrong(stage: Stage, s3: S3Server) -> None:
    _refused(stage, s3.url(), "test", AWS_ACCESS_KEY_ID="who", AWS_SECRET_ACCESS_KEY="knows")


@pytest.mark.parametrize("storage", ["ftp://host/x", "s3://", "nowhere", "gs://", "az://box"])
def test_a_storage_that_is_no_address(stage: Stage, storage: str) -> None:
    one_line(stage.outlast("server", "start", "-d", code=2, OUTLAST_STORAGE=storage).err, "storage", storage)


def _trouble(status: dict[str, Any]) -> str:
    return str((status["saving"] or {}).get("trouble") or "")


def test_a_bucket_that_vanishes_costs_no_step_and_is_told_until_it_is_back(stage: Stage) -> None:
    stage.start()
    job = stage.submit("gone", {"counter.py": COUNTER}, run=COUNT, env=_env(stage))
    stage.until_saved(job)
    bucket, away = stage.home / "bucket", stage.home / "away"
    bucket.rename(away)
    status = stage.until_status(job, "it says what is wrong", lambda s: _trouble(s) != "")
    assert str(bucket) in _trouble(status)
    _trains_on(stage)
    status = stage.status(job)
    assert (status["state"], status["generation"]) == ("RUNNING", 1)
    assert status["saving"]["trouble_age_s"] > 0
    assert "TROUBLE for" in stage.outlast("status", "gone").out
    away.rename(bucket)
    stage.until_status(job, "it is mended", lambda s: _trouble(s) == "")
    stage.until("saves come through", lambda: stage.pointer(job)["head"]["step"] > status["step"])
    stage.until("that is an event too", lambda: bool(stage.events(job, "storage.mended")))
    told = [event["kind"] for event in stage.events(job, "storage.trouble", "storage.mended")]
    assert told == ["storage.trouble", "storage.mended"]
    assert {generation for generation, _ in track(stage.folder / "track")} == {1}


def test_a_full_bucket_stops_no_training_and_publishes_nothing_false(stage: Stage) -> None:
    with small_disk(stage.home / "bucket") as disk:
        stage.start()
        job = stage.submit("full", {"counter.py": COUNTER}, run=COUNT, env=_env(stage, FILL_BYTES=50_000))
        stage.until_saved(job)
        disk.fill()
        status = stage.until_status(job, "it says what is wrong", lambda s: _trouble(s) != "")
        assert "space" in _trouble(status)
        head = stage.pointer(job)["head"]
        _trains_on(stage)
        status = stage.status(job)
        assert status["state"] == "RUNNING"
        assert "TROUBLE for" in stage.outlast("status", "full").out
        assert stage.pointer(job)["head"] == head
        listed = stage.outlast("checkpoints", "ls", "full", "--json").json["checkpoints"]
        assert all(one["problem"] == "" for one in listed)
        assert listed[0]["step"] == head["step"]
        disk.free()
        stage.until("saves come through", lambda: stage.pointer(job)["head"]["step"] > status["step"])
        stage.until_status(job, "it is mended", lambda s: _trouble(s) == "")
        stage.outlast("cancel", "full")
        stage.until_state(job, "CANCELLED")
        stage.close()


def test_a_full_disk_on_the_node_stops_neither_training_nor_saving(stage: Stage) -> None:
    """The place for copies is full; saves are uploaded from the trainer's own files."""
    stage.start()
    job = stage.submit("tight", {"counter.py": COUNTER}, run=COUNT, env=_env(stage, FILL_BYTES=20_000))
    stage.until_saved(job)
    (staging,) = stage.home.glob("local-cloud/instances/*/**/staging")
    with small_disk(staging) as disk:
        disk.fill()
        at = stage.pointer(job)["head"]["step"]
        stage.until("saves come through", lambda: stage.pointer(job)["head"]["step"] > at + 20)
        _trains_on(stage)
        assert stage.status(job)["state"] == "RUNNING"
        stage.outlast("pause", "tight")
        stage.until_state(job, "PAUSED")
        assert stage.pointer(job)["head"]["step"] == _last(stage)
        stage.close()


def test_a_full_disk_under_the_trainer_costs_the_save_and_is_told(stage: Stage) -> None:
    stage.start()
    job = stage.submit("packed", {"counter.py": COUNTER}, run=COUNT, env=_env(stage, FILL_BYTES=20_000))
    stage.until_saved(job)
    (folder,) = stage.home.glob("local-cloud/instances/*/**/checkpoints")
    with small_disk(folder) as disk:
        disk.fill()
        head = stage.pointer(job)["head"]["step"]
        _trains_on(stage)
        assert stage.status(job)["state"] == "RUNNING"
        stage.until("its log says so", lambda: "not saved: " in stage.outlast("logs", "packed").out)
        disk.free()
        stage.until("saves come through", lambda: stage.pointer(job)["head"]["step"] > head + 40)
        stage.outlast("cancel", "packed")
        stage.until_state(job, "CANCELLED")
        stage.close()
