"""One local cloud for all tests of a worker that only need machines on it, and a rig of its own for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.controller_rig import Rig
from tests.chaos.controller_sweep import CLOUD

from outlast_orchestrator.providers.local.control import CloudControl, start_cloud, stop_cloud


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudControl]:
    folder = tmp_path_factory.mktemp("cloud")
    try:
        yield start_cloud(folder, CLOUD)
    finally:
        stop_cloud(folder)


@pytest.fixture
def rig(tmp_path: Path, cloud: CloudControl) -> Iterator[Rig]:
    fresh = Rig(tmp_path / "rig", cloud)
    try:
        yield fresh
    finally:
        fresh.close()
