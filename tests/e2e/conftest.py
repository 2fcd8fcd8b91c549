"""One stage with a running server for all tests of a worker that do not break it, and fresh ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.stage import Stage


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Jobs of other tests run on it too: use names of your own, and harm nobody else's."""
    stage = Stage(tmp_path_factory.mktemp("shared"))
    try:
        stage.start()
        yield stage
    finally:
        stage.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """For tests that stop, break or fill something. Its server is not started yet."""
    fresh = Stage(tmp_path)
    try:
        yield fresh
    finally:
        fresh.close()
