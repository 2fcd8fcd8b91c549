"""The demo's figures must be able to tell bad news: each claim is shown to fail when it is false."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.demo.figures import corrupt_resumes, measure
from outlast_orchestrator.demo.main import REPORT, check_place
from outlast_orchestrator.demo.picture import loss_curve, timeline
from outlast_orchestrator.demo.report import SHOWN, render
from outlast_orchestrator.demo.watch import Line, read_track

MACHINES = {"l1": "i-1", "l2": "i-2", "l3": "i-3"}
TAKEN = {"i-1": "noticed", "i-2": "unnoticed"}


def event(kind: str, at: float, attempt: int | None = None, **data: str) -> dict[str, Any]:
    return {"kind": kind, "at": at, "attempt": attempt, "data": data, "why": kind}


def story() -> list[dict[str, Any]]:
    """Generation 1 is noticed at step 50; generation 2 dies at step 75, its last save was at 60."""
    events = [event("controller.started", 0.0)]
    for generation, at, step in ((1, 1.0, 0), (2, 20.0, 50), (3, 40.0, 60)):
        launch = f"l{generation}"
        events += [
            event("attempt.planned", at, generation),
            event("launch.intended", at + 0.1, generation, launch=launch),
            event("instance.ready", at + 1, launch=launch),
            event("attempt.claimed", at + 2, generation, step=str(step)),
            event("restore.started", at + 2, generation),
            event("restore.done", at + 3, generation),
            event("trainer.started", at + 4, generation),
            event("checkpoint.committed", at + 8, generation),
        ]
    events += [event("notice.seen", 19.0, 1), event("instance.gone", 27.0, launch="l1")]
    return [*events, event("instance.gone", 39.0, launch="l2"), event("controller.started", 45.0)]


def track() -> list[Line]:
    lines = []
    for generation, first, last, at in ((1, 0, 50, 6.0), (2, 50, 75, 25.0), (3, 60, 90, 45.0)):
        resumed = first if generation > 1 else -1
        lines.append(Line("start", generation, resumed, at, f"s{resumed}"))
        lines += [
            Line("step", generation, step, at + (step - first) * 0.1, f"s{step}", 5.0 - step / 50)
            for step in range(first + 1, last + 1)
        ]
    return lines


def test_a_clean_story() -> None:
    figures = measure(story(), track(), TAKEN, MACHINES)
    assert (figures.noticed, figures.unnoticed) == (1, 1)
    assert figures.steps_lost_noticed == 0
    assert figures.steps_lost_unnoticed_max == 15
    assert figures.relaunches_without_cause == 0
    assert figures.corrupt_resumes == 0
    assert [(r.before, r.after, r.noticed) for r in figures.recoveries] == [(1, 2, True), (2, 3, False)]
    phases = figures.recoveries[0].phases_s
    assert phases["notice → launch intended"] == 1.1
    assert phases["trainer started → first new step"] == 1.1
    assert phases["work ended → first new step"] == round(25.1 - 11.0, 3)


def test_a_relaunch_whose_forerunner_was_left_alone_is_without_cause() -> None:
    assert measure(story(), track(), {"i-1": "noticed"}, MACHINES).relaunches_without_cause == 1


def test_steps_lost_after_a_notice_are_seen() -> None:
    late = [*track(), Line("step", 1, 53, 12.0, "s53", 1.0)]
    assert measure(story(), late, TAKEN, MACHINES).steps_lost_noticed == 3


def test_a_resume_from_a_state_that_nobody_had_is_corrupt() -> None:
    good = track()
    torn = [
        replace(line, state="other") if line.kind == "start" and line.step == 60 else line for line in good
    ]
    assert corrupt_resumes(good) == 0
    assert corrupt_resumes(torn) == 1


def test_an_attempt_that_died_before_its_first_step_lost_none() -> None:
    events = [*story(), event("attempt.claimed", 38.0, 2, step="50")]
    without = [line for line in track() if line.generation != 2]
    assert measure(events, without, TAKEN, MACHINES).steps_lost_unnoticed_max == 0


def test_a_torn_last_line_of_the_track_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "track"
    whole = '{"kind": "step", "generation": 1, "at": 1.0, "step": 1, "state": "x", "loss": 2.0}\n'
    path.write_text(whole + whole[:20])
    assert [line.step for line in read_track(path)] == [1]
    assert read_track(tmp_path / "none") == []


def test_the_report_is_one_file_that_needs_nothing_else() -> None:
    figures = measure(story(), track(), TAKEN, MACHINES)
    keys = (*SHOWN, "sha256", "sha256_undisturbed")
    page = render({**dict.fromkeys(keys, 1), "bit_exact": False, "passed": False}, figures, story(), track())
    assert "NOT the same" in page
    for outside in ("http://", "https://", "src=", "@import"):
        assert outside not in page
    assert timeline(story(), figures.attempts).count('class="death"') == 2
    assert loss_curve(track()).count("<polyline") == 3


def test_a_place_without_room_for_the_report_is_said_before_four_minutes_are_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_place()
    assert not list(tmp_path.iterdir())
    (tmp_path / REPORT).mkdir()
    with pytest.raises(UserError, match="go to a folder of your own"):
        check_place()
    monkeypatch.chdir("/proc")
    with pytest.raises(UserError, match="go to a folder of your own"):
        check_place()
