"""The dead-man switch ends a machine for the agent's sake only: not installed, hung, asked, or too old."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outlast_orchestrator.remote.deadman import ALIVE, POWER_OFF, Deadman, user_data

LIMIT_S = 20.0


def deadman(tmp_path: Path, **limits: float) -> Deadman:
    chosen = {"max_life_s": 1000.0, "install_limit_s": 1000.0, "hung_after_s": 1000.0} | limits
    folder = tmp_path / "outlast"
    folder.mkdir(exist_ok=True)
    return Deadman(
        look_every_s=0.05, folder=f"'{folder}'", power_off=f"touch '{tmp_path}/off'; exit 0", **chosen
    )


@contextmanager
def running(settings: Deadman) -> Iterator[subprocess.Popen[str]]:
    command = ["/bin/sh", "-c", user_data(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def said_at_its_end(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=LIMIT_S)
    return out


def test_a_node_without_an_agent_ends(tmp_path: Path) -> None:
    with running(deadman(tmp_path, install_limit_s=0.3)) as process:
        assert "no agent was installed within 0.3 s" in said_at_its_end(process)
    assert (tmp_path / "off").exists()


def test_a_hung_agent_ends_the_node(tmp_path: Path) -> None:
    settings = deadman(tmp_path, hung_after_s=0.5)
    (tmp_path / "outlast" / ALIVE).touch()
    with running(settings) as process:
        assert "the agent has not moved for 0.5 s" in said_at_its_end(process)


def test_an_agent_that_moves_keeps_the_node(tmp_path: Path) -> None:
    """Nothing but the agent's own file counts: there is no controller anywhere in this test."""
    settings = deadman(tmp_path, hung_after_s=2.0, install_limit_s=2.0)
    alive = tmp_path / "outlast" / ALIVE
    with running(settings) as process:
        for _ in range(60):
            alive.touch()
            time.sleep(0.05)
        assert process.poll() is None
    assert not (tmp_path / "off").exists()


def test_an_order_of_the_agent_ends_the_node_at_once(tmp_path: Path) -> None:
    settings = deadman(tmp_path)
    (tmp_path / "outlast" / ALIVE).touch()
    (tmp_path / "outlast" / POWER_OFF).write_text('fenced by 7 $(touch "oops") "quoted"')
    with running(settings) as process:
        text = said_at_its_end(process)
    assert 'fenced by 7 $(touch "oops") "quoted"' in text  # told, never run
    assert not Path("oops").exists()


def test_the_maximum_life_ends_the_node_whatever_the_agent_does(tmp_path: Path) -> None:
    settings = deadman(tmp_path, max_life_s=0.3)
    (tmp_path / "outlast" / ALIVE).touch()
    with running(settings) as process:
        assert "its life of at most 0.3 s is over" in said_at_its_end(process)


def test_a_frozen_machine_does_not_blame_the_agent(tmp_path: Path) -> None:
    settings = deadman(tmp_path, hung_after_s=1.0)
    alive = tmp_path / "outlast" / ALIVE
    alive.touch()
    with running(settings) as process:
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(1.5)
        os.killpg(process.pid, signal.SIGCONT)
        for _ in range(20):  # agent and switch wake together
            alive.touch()
            time.sleep(0.05)
        assert process.poll() is None


def test_equal_settings_give_equal_texts() -> None:
    assert user_data(Deadman(max_life_s=10.0)) == user_data(Deadman(max_life_s=10.0))
    assert user_data(Deadman(max_life_s=10.0)) != user_data(Deadman(max_life_s=11.0))


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="max_life_s"):
        Deadman(max_life_s=value)


def test_without_a_command_nothing_is_switched_off(tmp_path: Path) -> None:
    """On a machine that names no power-off command, the host of a local cloud say, the script gives up."""
    settings = Deadman(max_life_s=0.1, look_every_s=0.05, folder=f"'{tmp_path}'")
    done = subprocess.run(
        ["/bin/sh", "-c", user_data(settings)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode != 0
    assert "OUTLAST_POWEROFF" in done.stderr
