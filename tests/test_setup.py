"""`make` on a machine that lacks something says in a line what, and how to mend it."""

from __future__ import annotations

import subprocess
from pathlib import Path

SETUP = Path(__file__).parents[1] / "scripts" / "setup"


def _setup(python: str) -> tuple[int, str]:
    done = subprocess.run(["bash", str(SETUP), python, "torch"], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def test_no_python() -> None:
    code, told = _setup("python3-that-is-nowhere")
    assert code == 1
    assert told == (
        "setup: there is no python3-that-is-nowhere; install Python 3.10 or newer, "
        "or name one: make PYTHON=python3.12\n"
    )


def test_a_python_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.1" && exit 0\nexit 1\n')
    old.chmod(0o755)
    code, told = _setup(str(old))
    assert code == 1
    assert told.startswith("setup: Python 3.8.1 is too old; install Python 3.10 or newer")
