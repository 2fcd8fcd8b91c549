"""Ctrl-C: a person leaves, the job stays as it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fakes.api import Api

from outlast_orchestrator.core.types import Wanted

BOUND_S = 30.0


@pytest.fixture
def file(tmp_path: Path) -> str:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "train.py").write_text("print('hello')\n")
    (folder / "job.yaml").write_text("name: gpt\nrun: python train.py\n")
    return str(folder / "job.yaml")


def test_ctrl_c_detaches_and_says_how_to_come_back(api: Api, file: str) -> None:
    env = {**os.environ, "OUTLAST_HOME": str(api.home())}
    # A test run in the background of a script has SIGINT ignored, and its children would inherit that.
    python = ["env", "--default-signal=INT", sys.executable]
    command = [*python, "-m", "outlast_orchestrator.cli.main", "submit", file, "-y", "--watch"]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "job.submitted" in line:
                break
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=BOUND_S)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "detached: gpt goes on" in err
    assert "outlast logs gpt -f" in err
    assert "Traceback" not in err
    (job,) = api.store.jobs()
    assert job.wanted is Wanted.RUN


def test_ctrl_c_at_the_question_is_a_no(api: Api, file: str) -> None:
    env = {**os.environ, "OUTLAST_HOME": str(api.home())}
    python = ["env", "--default-signal=INT", sys.executable]
    command = [*python, "-m", "outlast_orchestrator.cli.main", "submit", file]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        told = b""
        while b"Submit gpt?" not in told and (data := os.read(process.stderr.fileno(), 4096)):
            told += data
        process.send_signal(signal.SIGINT)
        try:
            _, rest = process.communicate(timeout=BOUND_S)
        finally:
            process.kill()
    assert process.returncode == 130, told + rest
    assert b"not submitted" in rest
    assert b"nobody answered" not in rest
    assert api.store.jobs() == []
