"""Tokens are drawn from a pool, and none is ever given twice."""

from __future__ import annotations

import subprocess
import sys

from outlast_orchestrator.controller.clock import POOL_BYTES, SystemClock

FORKED = """
import os
from outlast_orchestrator.controller.clock import SystemClock
clock = SystemClock()
clock.token(8)
child = os.fork()
os.write(1, (clock.token(16) + "\\n").encode())
if child:
    os.waitpid(child, 0)
"""


def test_no_token_comes_twice_and_each_has_its_length() -> None:
    clock = SystemClock()
    drawn = [clock.token(nbytes) for nbytes in (1, 16, 33, POOL_BYTES, POOL_BYTES + 1) for _ in range(300)]
    assert {len(token) for token in drawn} == {2, 32, 66, 2 * POOL_BYTES, 2 * POOL_BYTES + 2}
    long_ones = [token for token in drawn if len(token) > 2]
    assert len(set(long_ones)) == len(long_ones)


def test_a_forked_process_draws_others() -> None:
    told = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True)
    parent, child = told.stdout.split()
    assert parent != child
