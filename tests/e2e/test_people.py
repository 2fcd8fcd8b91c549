"""What people wish of a running job: pause, resume, cancel, restart; and what they can look at meanwhile."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.stage import Stage, first_steps, track
from tests.e2e.trainers import COUNT, COUNTER


def _env(stage: Stage, name: str, **more: object) -> dict[str, str]:
    values = {"STEPS": 100_000, "TRACK": stage.folder / f"{name}.track", **more}
    return {key: str(value) for key, value in values.items()}


def _steps(stage: Stage, name: str) -> list[tuple[int, int]]:
    return track(stage.folder / f"{name}.track")


def _gone(stage: Stage, job: str) -> None:
    stage.until(f"the machines of {job} are gone", lambda: not stage.living_machines(job))


def test_a_paused_job_releases_its_machine_and_goes_on_without_losing_a_step(shared: Stage) -> None:
    job = shared.submit("paused", {"counter.py": COUNTER}, run=COUNT, env=_env(shared, "paused"))
    shared.until_saved(job)
    shared.outlast("pause", "paused")
    shared.until_state(job, "PAUSED")
    _gone(shared, job)
    stopped = _steps(shared, "paused")[-1][1]
    assert shared.status(job)["durable"]["step"] == stopped
    shared.outlast("resume", "paused")
    shared.until_status(job, "it trains again", lambda s: s["state"] == "RUNNING" and s["step"] > stopped)
    steps = _steps(shared, "paused")
    assert [step for _, step in steps] == list(range(1, steps[-1][1] + 1))
    assert first_steps(steps) == {1: 1, 2: stopped + 1}
    shared.outlast("cancel", "paused")
    shared.until_state(job, "CANCELLED")
    _gone(shared, job)
    assert shared.outlast("resume", "paused", code=2).err.count("admin restart") == 1
