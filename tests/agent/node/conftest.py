"""A bench for each test; whatever happens, its agent is gone afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.node.agent_kit import TRAINER, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def train(tmp_path: Path) -> str:
    """The command of the small trainer, without its last argument: how many steps."""
    script = tmp_path / "train.py"
    script.write_text(TRAINER)
    return f"exec {sys.executable} {script}"
