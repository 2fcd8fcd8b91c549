"""Runs `outlast` against a real API, and keeps what it printed apart by stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fakes.api import Api, running_api
from typer.testing import CliRunner, Result

from outlast_orchestrator.cli.main import app

Outlast = Callable[..., Result]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path) as found:
        yield found


@pytest.fixture
def outlast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outlast:
    """Calls the command line; with `api=`, there is a server to be found."""
    monkeypatch.chdir(tmp_path)
    for name in ("OUTLAST_URL", "OUTLAST_TOKEN", "OUTLAST_CA_FILE"):
        monkeypatch.delenv(name, raising=False)

    def call(*words: str, api: Api | None = None, answer: str = "", **env: str) -> Result:
        home = api.home() if api is not None else tmp_path / "nobody-home"
        return CliRunner().invoke(app, list(words), input=answer, env={"OUTLAST_HOME": str(home), **env})

    return call
