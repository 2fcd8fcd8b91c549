"""`make` on a machine that lacks something says in a line what, and how to mend it."""

from __future__ import annotations

import shutil
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


def test_a_python_without_venv_names_the_package_and_installs_nothing_by_itself(tmp_path: Path) -> None:
    bin_folder = tmp_path / "bin"
    (tmp_path / "scripts").mkdir()
    bin_folder.mkdir()
    for name in ("scripts/setup", "pyproject.toml", "constraints.txt"):
        shutil.copy(SETUP.parents[1] / name, tmp_path / name)
    for name in ("bash", "cat", "dirname"):
        (bin_folder / name).symlink_to(str(shutil.which(name)))
    stubs = {
        # New enough, hashes what it is given, and lacks the module.
        "python": 'case "$*" in *ensurepip*) exit 1;; *hashlib*) cat;; esac',
        "id": "echo 1000",
        "apt-get": f"touch {tmp_path}/called",
    }
    for name, text in stubs.items():
        (bin_folder / name).write_text(f"#!{bin_folder}/bash\n{text}\n")
        (bin_folder / name).chmod(0o755)
    done = subprocess.run(
        [str(bin_folder / "bash"), str(tmp_path / "scripts" / "setup"), "python", "torch"],
        env={"PATH": str(bin_folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "on Debian and Ubuntu: sudo apt-get install python3-venv" in done.stderr
    assert not (tmp_path / "called").exists()
    assert not (tmp_path / ".venv").exists()
