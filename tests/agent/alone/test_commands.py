"""The two ways to start it: the command of the orchestrator, and the module with the base alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENTRIES = {
    "outlast agent run": ["-m", "outlast_orchestrator.cli.main", "agent", "run"],
    "python -m outlast run": ["-m", "outlast", "run"],
}


def call(entry: str, folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OUTLAST_")}
    return subprocess.run(
        [sys.executable, *ENTRIES[entry], *words],
        cwd=folder, env={**inherited, **environment}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_command_is_run_as_it_is_written_and_its_status_given(entry: str, tmp_path: Path) -> None:
    (tmp_path / "store" / "tiny").mkdir(parents=True)
    command = ["sh", "-c", 'echo "$1|$2"; exit 3', "x", "--storage", "two  words"]
    done = call(entry, tmp_path, "--", *command, OUTLAST_STORAGE="store/tiny")
    assert (done.returncode, done.stdout) == (3, "--storage|two  words\n"), done.stderr
    assert (tmp_path / "store" / "tiny" / "jobs" / "tiny" / "latest.json").exists()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("entry", ENTRIES)
def test_help_and_mistakes(entry: str, tmp_path: Path) -> None:
    told = call(entry, tmp_path, "--help")
    assert told.returncode == 0
    assert told.stdout.startswith(f"usage: {entry} --storage URL")
    wrong = call(entry, tmp_path, "--storage", "file:///nowhere/at/all", "--", "true")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("outlast: --storage file:///nowhere/at/all: ")
    assert wrong.stderr.count("\n") == 1
