"""The controller's store: a second controller on it, a full disk, a read-only one. Running jobs go on."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.disks import small_disk
from tests.e2e.stage import Ran, Stage, one_line, track
from tests.e2e.trainers import COUNT, COUNTER

ROOM_MAX = 50


def _last(stage: Stage) -> int:
    steps = track(stage.folder / "track")
    return steps[-1][1] if steps else 0


def _submit(stage: Stage) -> str:
    env = {"STEPS": "100000", "TRACK": str(stage.folder / "track")}
    return stage.submit("job", {"counter.py": COUNTER}, run=COUNT, env=env)


def _update(stage: Stage) -> Ran:
    """A wish that changes nothing of the attempt that runs."""
    return stage.outlast("update", "job", stage.folder / "jobs" / "job" / "job.yaml", code=None)


def _trains_on(stage: Stage, steps: int = 40) -> None:
    at = _last(stage)
    stage.until(f"it trains on from step {at}", lambda: _last(stage) > at + steps)


def test_a_second_controller_is_refused_and_the_first_goes_on(shared: Stage, tmp_path: Path) -> None:
    pid = shared.server_pid()
    one_line(shared.outlast("server", "start", "-d", code=2).err, "running already", str(pid))
    other = {"OUTLAST_HOME": str(tmp_path / "other"), "OUTLAST_STORE": f"sqlite:///{shared.home}/outlast.db"}
    for extra in ([], ["-d"]):
        ran = shared.outlast("server", "start", *extra, code=None, **other)
        assert ran.code in (2, 4)
        one_line(ran.err, "another controller", str(pid), "outlast.db", "outlast server stop")
    assert shared.server_pid() == pid
    assert "jobs" in shared.outlast("ps", "--json").json


def test_a_full_disk_under_the_store_is_told_loses_nothing_and_mends_by_itself(stage: Stage) -> None:
    with small_disk(stage.home / "store") as disk:
        stage.environment["OUTLAST_STORE"] = f"sqlite:///{stage.home}/store/outlast.db"
        stage.start()
        job = _submit(stage)
        stage.until_saved(job)
        disk.fill()
        taken, ran = 0, _update(stage)
        while ran.code == 0 and taken < ROOM_MAX:  # what still fits into the files as they are
            taken, ran = taken + 1, _update(stage)
        assert ran.code == 4
        one_line(ran.err, "disk is full", "outlast.db", "free some space")
        assert stage.status(job)["revision"] == 1 + taken
        _trains_on(stage)
        disk.free()
        stage.until("wishes are taken again", lambda: _update(stage).code == 0)
        assert stage.status(job)["revision"] == 2 + taken
        stage.outlast("pause", "job")
        stage.until_state(job, "PAUSED")
        assert {generation for generation, _ in track(stage.folder / "track")} == {1}
        stage.close()


def test_a_read_only_store_is_told_and_the_job_is_found_again(stage: Stage) -> None:
    with small_disk(stage.home / "store") as disk:
        stage.environment["OUTLAST_STORE"] = f"sqlite:///{stage.home}/store/outlast.db"
        stage.start()
        job = _submit(stage)
        stage.until_saved(job)
        stage.outlast("server", "stop")
        disk.read_only()
        one_line(stage.outlast("server", "start", "-d", code=4).err, "outlast.db", "write there")
        one_line(stage.outlast("ps", code=3).err, "outlast server start -d")
        _trains_on(stage)
        disk.writable()
        stage.start()
        stage.until_status(job, "it is found again", lambda s: s["state"] == "RUNNING" and s["step"] > 0)
        _trains_on(stage)
        assert {generation for generation, _ in track(stage.folder / "track")} == {1}
        stage.close()


def test_garbage_as_a_store_is_told_and_left_as_it_is(stage: Stage) -> None:
    file = stage.home / "outlast.db"
    file.write_bytes(b"no database at all " * 500)
    body = file.read_bytes()
    one_line(stage.outlast("server", "start", "-d", code=4).err, str(file), "not a database")
    assert file.read_bytes() == body
