"""`server start -d` and `server stop`: a session of its own, told failures, and no wrong process ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes import little_server
from tests.fakes.api import Api

from outlast_orchestrator.cli import daemon
from outlast_orchestrator.cli.exits import NoServer, Refused
from outlast_orchestrator.core.errors import UserError


def _like(manner: str) -> list[str]:
    return [sys.executable, str(Path(little_server.__file__)), manner]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OUTLAST_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        yield process
        process.kill()


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_server_is_started_in_a_session_of_its_own_and_stopped(home: Path) -> None:
    found = daemon.start(_like("answers"))
    assert os.getsid(found["pid"]) == found["pid"]
    assert f"session {found['pid']}" in (home / "server.log").read_text()
    with pytest.raises(UserError, match="running already"):
        daemon.start(_like("answers"))
    assert daemon.stop()["pid"] == found["pid"]
    assert daemon.answering(home) is None


def test_a_server_that_says_why_it_can_not_run_is_quoted(home: Path) -> None:
    with pytest.raises(Refused) as caught:
        daemon.start(_like("dies"))
    assert str(caught.value) == "the store is read-only"


def test_a_server_that_dies_without_a_word_is_told_with_the_end_of_its_log(home: Path) -> None:
    home.mkdir()
    (home / "server.log").write_text("a line of the day before\n")
    with pytest.raises(Refused, match="no module named outlast") as caught:
        daemon.start([sys.executable, "-c", "import sys; sys.exit('no module named outlast')"])
    assert "ended with status 1" in str(caught.value)
    assert "day before" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_server_that_never_answers_is_ended_and_told(home: Path) -> None:
    with pytest.raises(Refused, match="did not answer in time"):
        daemon.start(_like("hangs"), limit_s=2.0)


def test_nothing_to_stop(home: Path) -> None:
    with pytest.raises(NoServer, match="nothing to stop"):
        daemon.stop()


def test_a_pid_that_was_given_to_somebody_else_is_not_ended(
    home: Path, bystander: subprocess.Popen[bytes]
) -> None:
    home.mkdir()
    (home / "server.json").write_text(json.dumps({"url": "http://127.0.0.1:9", "pid": bystander.pid}))
    with pytest.raises(NoServer, match=str(bystander.pid)):
        daemon.stop()
    assert bystander.poll() is None


def test_another_server_at_that_address_does_not_vouch_for_the_pid(
    home: Path, bystander: subprocess.Popen[bytes], api: Api
) -> None:
    home.mkdir()
    (home / "server.json").write_text(json.dumps({"url": api.url, "pid": bystander.pid}))
    with pytest.raises(NoServer):
        daemon.stop()
    assert bystander.poll() is None


@pytest.mark.parametrize("body", ["", "garbage", "[]", "{}"])
def test_a_damaged_server_file_is_named(home: Path, body: str) -> None:
    home.mkdir()
    (home / "server.json").write_text(body)
    with pytest.raises(UserError, match=r"server\.json is damaged"):
        daemon.stop()


def test_a_home_that_is_a_file_is_named(home: Path) -> None:
    home.write_text("")
    with pytest.raises(UserError, match="home"):
        daemon.start(_like("answers"))
