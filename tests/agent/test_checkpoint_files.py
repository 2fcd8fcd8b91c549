"""A process killed at any point of a save leaves the checkpoint before or the new one, never half of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from outlast.checkpoint_files import recover, steps, verify
from outlast.protocol.messages import CheckpointPlan
from outlast.save.marker import folder_name
from outlast.save.tidy import Keep, tidy_before_start
from outlast.save.watch import Watcher

# An audit hook sees every open, mkdir, rename, link and remove before it is done: there the process is
# killed. `b.bin` is the same in each save: it is linked.
SCRIPT = """
import os, signal, sys
from outlast.checkpoint_files import temp_name
from outlast.writing.plan import PlannedFile, SavePlan
from outlast.writing.process import carry_out

root, step, before, kill_at = sys.argv[1], *map(int, sys.argv[2:])
seen = 0
events = "open os.mkdir os.rename os.link os.remove os.rmdir os.scandir os.truncate shutil.rmtree".split()

def hook(event, args):
    global seen
    if event in events:
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

data = bytes([step]) * 4096 + b"b" * 4096
files = (PlannedFile("a.bin", 0, 4000), PlannedFile("b.bin", 4096, 100, may_stay=True))
plan = SavePlan(root, temp_name(step, str(kill_at)), step, len(data), files, before=before, drop=(before,))
sys.addaudithook(hook)
result = carry_out(plan, memoryview(data))
assert not result.error, result
"""


def save(root: Path, step: int, kill_at: int) -> int:
    before = 1 if step > 1 else 0
    command = [sys.executable, "-c", SCRIPT, str(root), str(step), str(before), str(kill_at)]
    return subprocess.run(command, check=False, timeout=60, capture_output=True).returncode


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2], ids=["over the same step", "beside the one before"])
def test_killed_before_each_of_its_file_operations(tmp_path: Path, step: int) -> None:
    finished = False
    for kill_at in range(1, 60):
        root = tmp_path / str(kill_at)
        assert save(root, 1, 0) == 0
        code = save(root, step, kill_at)
        eyes = Watcher(CheckpointPlan(), root)
        found = eyes.scan(0.0, (), exited_badly=True)
        for one in found:
            assert verify(one.at).step == one.step
        recover(root)
        assert steps(root), "both were lost"
        for number in steps(root):
            verify(root / folder_name(number))
        tidy_before_start(root, Keep(max(steps(root)), "outlast", frozenset()), "g2")
        left = [path.name for path in root.iterdir() if path.name.startswith(".saving-")]
        assert not left, "leftovers are moved aside"
        if code == 0:
            finished = True
            break
        assert code == -9
    assert finished, "the save never came to its end"
    assert kill_at > 8, "too few points were tried"
