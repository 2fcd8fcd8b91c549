"""A job with `install` on the local cloud: its packages are there, and `import outlast` too."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.stage import Stage
from tests.fakes.wheels import install_from, make_wheel

TRAIN = """
import sys, time, words, outlast
open("found.txt", "w").write(f"{words.TEXT} {sys.prefix != sys.base_prefix}")
time.sleep(5)  # until nothing more is said of the environment
"""


def test_the_training_finds_what_was_installed_and_people_hear_why_it_is_not_kept(
    shared: Stage, tmp_path: Path
) -> None:
    make_wheel(tmp_path / "wheels", "words", {"words.py": b"TEXT = 'from the wheel'\n"})
    job = shared.submit(
        "install",
        {"train.py": TRAIN},
        setup="echo setup first",
        install=install_from(tmp_path / "wheels", "words"),
        run="python train.py",
        outputs=["found.txt"],
    )
    shared.until_state(job, "SUCCEEDED")
    shared.outlast("outputs", "get", "install", tmp_path / "got")
    assert (tmp_path / "got" / "found.txt").read_text() == "from the wheel True"
    (told,) = shared.events(job, "environment.skipped")
    assert "no other machine has a folder" in told["why"]
    assert not (shared.job_folder(job) / "env").exists()
