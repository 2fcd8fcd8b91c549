"""Trainers that know nothing of Outlast: one that fails and is mended, one that saves and leaves with 0."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.stage import PYTHON, Stage, first_steps, track
from tests.e2e.trainers import LEAVER, SHELL, SHELL_MENDED


def test_a_failed_job_says_why_and_goes_on_from_its_checkpoint_once_it_is_mended(
    shared: Stage, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    keys = {
        "run": "sh train.sh",
        "env": {"GO": str(go)},
        "outputs": ["total.txt"],
        "checkpoint": {"signal": "none"},
        "retry": {"max_failures": 1},
    }
    job = shared.submit("shell", {"train.sh": SHELL}, **keys)
    shared.until_saved(job)
    go.touch()
    failed = shared.until_state(job, "FAILED")
    assert failed["exit_code"] == 3
    assert "code 3" in failed["why"]
    assert "max_failures is 1" in failed["why"]
    assert failed["durable"]["step"] == 7
    told = shared.events(job, "tell")[-1]["why"]
    assert "`outlast resume shell`" in told
    tails = [event["data"]["tail"] for event in shared.events(job, "attempt.failed")]
    assert len(tails) == 2
    assert all("the licence server is away" in tail for tail in tails)
    text = shared.outlast("status", "shell").out
    assert "FAILED" in text
    assert "code 3" in text

    mended = shared.job_file("shell", {"train.sh": SHELL_MENDED}, **keys)
    shared.outlast("update", "shell", mended)
    done = shared.until_state(job, "SUCCEEDED")
    assert done["revision"] == 2
    assert [a["start_step"] for a in done["attempts"]] == [0, 7, 7]
    assert "counting from 7" in shared.outlast("logs", "shell").out
    shared.outlast("outputs", "get", "shell", tmp_path / "got")
    assert (tmp_path / "got" / "total.txt").read_text() == "14\n"


def test_a_trainer_that_saves_on_our_signal_and_leaves_with_0_has_not_succeeded(
    shared: Stage, tmp_path: Path
) -> None:
    path, last = tmp_path / "track", 150
    job = shared.submit(
        "leaver",
        {"train.py": LEAVER},
        run=f"{PYTHON} train.py",
        env={"STEPS": str(last), "TRACK": str(path)},
        outputs=["total.txt"],
        checkpoint={"every": "3s"},
    )
    done = shared.until_state(job, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", shared.story(job)
    # It left each time that it was asked, and each time it went on with the very next step.
    steps = track(path)
    assert [step for _, step in steps] == list(range(1, last + 1))
    assert len(first_steps(steps)) > 1
    left = shared.events(job, "attempt.released")
    assert len(left) == len(first_steps(steps)) - 1
    assert all("left with code 0 after it was asked to save" in event["why"] for event in left)


def test_a_command_line_without_a_job_file(shared: Stage) -> None:
    (shared.desk / "say.sh").write_text('echo "$1, $2"\n')
    done = shared.outlast("run", "-y", "--name", "hello", "--", "sh", "say.sh", "hello  to", "you")
    assert done.out.startswith("hello: SUCCEEDED")
    assert "hello  to, you\n" in shared.outlast("logs", "hello").out


def test_a_job_that_is_watched_ends_the_command_by_its_outcome(shared: Stage) -> None:
    file = shared.job_file("five", {}, run="echo bye; exit 5", retry={"max_failures": 0})
    failed = shared.outlast("submit", file, "-y", "--watch", "--json", code=1).json
    assert (failed["state"], failed["exit_code"]) == ("FAILED", 5)
    assert "code 5" in failed["why"]
    assert "bye\n" in shared.outlast("logs", "five").out
