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


def test_a_failed_job_keeps_its_machine_for_a_look_if_it_wants(shared: Stage) -> None:
    retry = {"max_failures": 0, "hold_on_failure": "10m"}
    job = shared.submit("held", {}, run="echo broken >&2; exit 3", retry=retry)
    failed = shared.until_state(job, "FAILED")
    assert "left on for 10 min: `outlast ssh held`" in failed["why"]
    assert len(shared.living_machines(job)) == 1
    shared.outlast("cancel", "held")
    _gone(shared, job)


def test_a_restart_by_hand_is_a_new_attempt_from_the_newest_step(shared: Stage) -> None:
    job = shared.submit("again", {"counter.py": COUNTER}, run=COUNT, env=_env(shared, "again"))
    shared.until_saved(job)
    shared.outlast("admin", "restart", "again")
    shared.until_saved(job, 2)
    steps = _steps(shared, "again")
    last_of_first = max(step for generation, step in steps if generation == 1)
    assert first_steps(steps) == {1: 1, 2: last_of_first + 1}
    shared.outlast("admin", "restart", "again", "--now")
    shared.until_saved(job, 3)
    assert shared.status(job)["attempts"][1]["phase"] == "closed"
    assert len(shared.living_machines(job)) == 1  # in place: nobody took its machine
    shared.outlast("cancel", "again")
    shared.until_state(job, "CANCELLED")
    _gone(shared, job)
    # Even when it is over: its checkpoints stayed.
    step = shared.status(job)["durable"]["step"]
    shared.outlast("admin", "restart", "again")
    shared.until_saved(job, 4)
    assert first_steps(_steps(shared, "again"))[4] == step + 1
    shared.outlast("cancel", "again")


def test_a_person_keeps_a_checkpoint_looks_at_it_and_goes_back_to_it(shared: Stage, tmp_path: Path) -> None:
    env = _env(shared, "back", SAVE_EVERY=5, STEP_S="0.05")
    job = shared.submit("back", {"counter.py": COUNTER}, run=COUNT, env=env)
    shared.until_saved(job)
    pinned = shared.outlast("checkpoints", "pin", "back", "--json").json
    assert pinned["pin"] == "pinned"
    step, name = pinned["step"], pinned["name"]

    def older() -> bool:
        """It would long have left, were it not pinned."""
        kept = [ref["step"] for ref in shared.pointer(job)["kept"]]
        return len([one for one in kept if one > step]) == 3 and step in kept

    shared.until("three newer ones are kept", older)
    assert shared.outlast("checkpoints", "verify", "back", "--step", name).out.startswith("ok ")
    shared.outlast("checkpoints", "get", "back", tmp_path / "got", "--step", name)
    assert (tmp_path / "got" / "step.txt").read_text().split()[0] == str(step)
    shared.outlast("admin", "restart", "back", "--from", name)
    shared.until_saved(job, 2)
    assert first_steps(_steps(shared, "back"))[2] == step + 1
    # The program's own hold ends with the restart; the person's pin does not.
    holds = shared.job_folder(job) / "pins"
    shared.until("the hold is gone", lambda: [one.name for one in holds.iterdir()] == [name])
    assert shared.outlast("checkpoints", "unpin", "back", "--json").json["pin"] in ("", "gone")
    late = shared.outlast("admin", "restart", "back", "--from", "999999", code=2)
    assert "keeps no checkpoint '999999'" in late.err
    shared.outlast("cancel", "back")
    shared.until_state(job, "CANCELLED")
    assert len(shared.events(job, "checkpoint.pinned")) >= 1


def test_what_can_be_seen_of_a_job(shared: Stage, tmp_path: Path) -> None:
    job = shared.submit(
        "seen",
        {"counter.py": COUNTER},
        run=COUNT,
        env=_env(shared, "seen", STEPS=60),
        outputs=["result"],
    )
    done = shared.until_state(job, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", shared.story(job)
    (row,) = [one for one in shared.outlast("ps", "--json").json["jobs"] if one["id"] == job]
    assert (row["name"], row["state"], row["step"]) == ("seen", "SUCCEEDED", 60)
    assert "SUCCEEDED" in shared.outlast("ps").out
    logs = shared.outlast("logs", "seen").out
    assert "starting at 0\n" in logs
    assert shared.outlast("logs", "seen", "--attempt", "1").out == logs
    kinds = [event["kind"] for event in shared.outlast("events", "seen", "--json").json["events"]]
    assert kinds[0] == "job.submitted"
    for kind in ("attempt.claimed", "trainer.started", "checkpoint.committed", "outputs.done"):
        assert kind in kinds
    why = shared.outlast("why", "seen").out
    assert why.startswith("seen is SUCCEEDED")
    assert "its outputs are in the bucket" in why
    listed = shared.outlast("checkpoints", "ls", "seen", "--json").json["checkpoints"]
    steps = [one["step"] for one in listed]
    assert steps == sorted(steps, reverse=True)
    assert (steps[0], len(steps) <= 3) == (60, True)
    assert [one["head"] for one in listed] == [True] + [False] * (len(listed) - 1)
    assert all(one["problem"] == "" and one["kind"] == "outlast" for one in listed)
    got = shared.outlast("outputs", "get", "seen", tmp_path / "got", "--json").json
    assert got["complete"] is True
    assert (tmp_path / "got" / "result" / "total.txt").read_text() == str(sum(range(61)))
    assert "step 60" in shared.outlast("status", "seen").out
    _gone(shared, job)
    assert "no orphans" in shared.outlast("admin", "orphans").out
