"""One seed is one story: in another process, with another order of hashes, too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def digest(size: str, seed: int, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.sim", "--size", size, "--seed", str(seed), "--digest"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize(("size", "seed"), [("day", 1), ("short", 7), ("short", 8), ("short", 9)])
def test_the_same_seed_has_the_same_event_log(size: str, seed: int) -> None:
    first = digest(size, seed, "1")
    assert len(first) == 64
    assert digest(size, seed, "2") == first


def test_another_seed_is_another_story() -> None:
    assert digest("short", 3, "0") != digest("short", 4, "0")
