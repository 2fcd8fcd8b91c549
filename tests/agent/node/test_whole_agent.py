"""A real agent process from assignment to end: through notices, crashes, restarts and being superseded."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

from outlast.bucket.outputs import newest_index
from outlast.protocol.codec import dump
from outlast.protocol.messages import AgentState, Command, CommandKind, Permission
from outlast.protocol.objects import POINTER_KEY, PointerState
from tests.agent.node.agent_kit import Bench, assign, gone, until


def test_a_job_runs_to_its_end_and_its_outputs_are_verified(bench: Bench, train: str) -> None:
    bench.controller.tell(assign(1, f"{train} 25", outputs=("curve.csv",)), run=Permission())
    bench.start()
    report = bench.controller.wait_state(AgentState.ENDED)
    assert report.exit_code == 0
    pointer = bench.pointer()
    assert pointer is not None
    assert (pointer.state, pointer.exit_code) == (PointerState.ENDED, 0)
    assert pointer.head is not None
    assert pointer.head.step == 20
    index = newest_index(bench.bucket)
    assert index is not None
    assert index.complete
    assert [entry.path for entry in index.files] == ["curve.csv"]
    assert index.files[0].size == len("".join(f"{n}\n" for n in range(1, 26)))
