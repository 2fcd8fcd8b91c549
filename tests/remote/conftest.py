"""A machine for one test, and the archives of the agent for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.remote.kit import user_data
from tests.servers.machine import Machine, machine


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles are made once."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path / "machine", user_data()) as made:
        yield made
