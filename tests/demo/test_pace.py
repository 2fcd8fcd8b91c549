"""The demo's training waits for the demo: it can't end before the last fault, and hurries after it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from outlast_orchestrator.demo import stage

TRAIN = Path(stage.__file__).parent / "job" / "train.py"
PLAY_S = 120.0  # what the faults take on a crowded machine, besides the steps that they wait for


def train(monkeypatch: pytest.MonkeyPatch, faults_to_come: str) -> ModuleType:
    monkeypatch.setenv("DEMO_FAULTS_TO_COME", faults_to_come)
    spec = importlib.util.spec_from_file_location("demo_train", TRAIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_while_faults_are_to_come_it_is_slow_and_slowest_at_its_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mark = tmp_path / "faults-to-come"
    module = train(monkeypatch, str(mark))
    mark.touch()
    pace = [module.step_s_min(step) for step in range(module.STEPS)]
    after_saves, others = (
        pace[:: module.SAVE_EVERY],
        [one for step, one in enumerate(pace) if step % module.SAVE_EVERY],
    )
    assert others == sorted(others)
    assert 0 < others[0] < others[-1]
    assert set(after_saves) == {others[-1]}, "an upload that is to be hit takes its time"
    assert sum(pace) > PLAY_S
    mark.unlink()
    assert {module.step_s_min(step) for step in range(module.STEPS)} == {0.0}


def test_undisturbed_it_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(monkeypatch, "").step_s_min(179) == 0.0


def test_the_step_after_a_save_is_told_only_when_its_time_is_over(tmp_path: Path) -> None:
    """While it lasts, nothing but that save can be lost: a death then has a figure to hold on to."""
    mark, track = tmp_path / "faults-to-come", tmp_path / "track"
    mark.touch()
    told = {
        "DEMO_STEPS": "3", "DEMO_SAVE_EVERY": "2", "DEMO_TRACK": str(track), "DEMO_FAULTS_TO_COME": str(mark)
    }  # fmt: skip
    command = [sys.executable, str(TRAIN)]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, **told}, check=True, capture_output=True)
    lines = [json.loads(line) for line in track.read_text().splitlines()]
    at = {line["step"]: line["at"] for line in lines if line["kind"] == "step"}
    assert at[2] - at[1] >= 1.4, "the save of step 1 is over when step 2 begins to wait"
