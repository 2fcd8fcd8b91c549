"""A connection through a command: what it is called with, and that nothing of it stays."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from outlast_orchestrator.remote.proxy import Proxied, filled, proxied

LIMIT_S = 20.0


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("ssh -W %h:%p jump", "ssh -W 10.0.0.1:22 jump"),
        ("nc %h %p # 100%% of %r", "nc 10.0.0.1 22 # 100% of me"),
        ("a %%h %x %", "a %h %x %"),
    ],
)
def test_the_marks_of_a_way(command: str, text: str) -> None:
    assert filled(command, "10.0.0.1", 22, "me") == text


def _pids(way: Proxied) -> list[str]:
    deadline_s = time.monotonic() + LIMIT_S
    while len(found := way.said().split()) < 2:
        assert time.monotonic() < deadline_s, "it has not started"
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("deaf", ["", "trap '' TERM; "])
def test_one_that_does_not_end_by_itself_is_ended_with_all_that_it_started(deaf: str) -> None:
    with proxied(f'sh -c "{deaf}sleep 1000 & echo \\$! \\$\\$ >&2; wait"') as way:
        pids = _pids(way)
    deadline_s = time.monotonic() + LIMIT_S
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline_s, "it is still there"
        time.sleep(0.02)
