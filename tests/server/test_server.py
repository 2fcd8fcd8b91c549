"""The server as a process: it starts, refuses in one line, ends cleanly, and comes back after a kill."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

START_LIMIT_S = 60.0


class Servers:
    """Servers on one home folder without any cloud, all ended at the end."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._running: list[subprocess.Popen[str]] = []
        home.mkdir(exist_ok=True)
        (home / "controller.yaml").write_text("providers: {}\n")

    def start(self) -> subprocess.Popen[str]:
        environment = {**os.environ, "OUTLAST_HOME": str(self.home)}
        command = [sys.executable, "-m", "outlast_orchestrator.server"]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self._running.append(process)
        return process

    def started(self) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        process = self.start()
        deadline_s = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline_s:
            assert process.poll() is None, process.communicate()[1]
            about = self.about()
            if about is not None and about["pid"] == process.pid:
                return process, about
            time.sleep(0.05)
        raise AssertionError("the server did not say that it listens")

    def about(self) -> dict[str, Any] | None:
        file = self.home / "server.json"
        found: dict[str, Any] | None = json.loads(file.read_text()) if file.exists() else None
        return found

    def refused(self, code: int = 2) -> str:
        process = self.start()
        _, said = process.communicate(timeout=START_LIMIT_S)
        assert process.returncode == code
        assert said.count("\n") == 1, said
        assert "Traceback" not in said
        return said

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    found = Servers(tmp_path / "home")
    yield found
    found.close()


def health(about: dict[str, Any]) -> dict[str, Any]:
    with urllib.request.urlopen(f"{about['url']}/v1/health", timeout=30) as reply:
        found: dict[str, Any] = json.load(reply)
        return found


def test_it_listens_says_so_and_ends_cleanly(servers: Servers) -> None:
    process, about = servers.started()
    assert health(about)["pid"] == process.pid
    while not health(about)["leading"]:  # the log begins with its first line, which says that
        time.sleep(0.05)
    # Also in a folder that a person made, which others may look into.
    files = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in servers.home.iterdir() if path.is_file()
    }
    assert {"token", "node.key", "server.json", "outlast.db", "controller.log"} <= set(files)
    assert {name for name, mode in files.items() if mode & 0o077} == {"controller.yaml"}
    token = (servers.home / "token").read_text()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=START_LIMIT_S)
    assert process.returncode == 0, said
    assert servers.about() is None
    _, again = servers.started()
    assert health(again)["ok"]
    assert (servers.home / "token").read_text() == token, "who had the token still has it"


def test_a_second_controller_is_refused_and_the_first_goes_on(servers: Servers) -> None:
    process, about = servers.started()
    said = servers.refused()
    assert f"pid {process.pid}" in said
    assert "outlast server stop" in said
    assert health(about)["pid"] == process.pid
    assert servers.about() == about


def test_after_a_kill_the_next_one_leads_at_once(servers: Servers) -> None:
    process, _ = servers.started()
    process.kill()
    process.wait(timeout=30)
    _, about = servers.started()
    deadline_s = time.monotonic() + START_LIMIT_S
    while not health(about)["leading"]:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_garbage_store(servers: Servers) -> None:
    (servers.home / "outlast.db").write_bytes(b"no database " * 1000)
    assert "not a database" in servers.refused(4)


def test_a_bad_setting(servers: Servers) -> None:
    (servers.home / "controller.yaml").write_text("provider: {}\n")
    assert "provider: no such key" in servers.refused()


def test_an_unknown_cloud(servers: Servers) -> None:
    (servers.home / "controller.yaml").write_text("providers: {nowhere: {}}\n")
    assert "controller.yaml: providers.nowhere: no such cloud" in servers.refused()


def test_a_port_that_is_taken(servers: Servers, tmp_path: Path) -> None:
    _, about = servers.started()
    other = Servers(tmp_path / "other")
    port = about["url"].rpartition(":")[2]
    (other.home / "controller.yaml").write_text(f"providers: {{}}\nport: {port}\n")
    assert port in other.refused()
    other.close()


def test_a_home_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = {**os.environ, "OUTLAST_HOME": str(tmp_path / "file" / "home")}
    command = [sys.executable, "-m", "outlast_orchestrator.server"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=START_LIMIT_S)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "OUTLAST_HOME" in done.stderr
