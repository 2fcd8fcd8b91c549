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

# An audit hook sees every open, mkdir, rename and remove before it is done: there the process is killed.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from outlast import checkpoint_files

root, step, kill_at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
seen = 0

def hook(event, args):
    global seen
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir", "shutil.rmtree"):
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

def fill(folder):
    (folder / "a.bin").write_bytes(b"a" * 100)
    (folder / "b.bin").write_bytes(bytes([step]) * 100)

sys.addaudithook(hook)
checkpoint_files.write(root, step, fill)
checkpoint_files.prune(root, 1, {1, step})
"""


def save(root: Path, step: int, kill_at: int) -> int:
    command = [sys.executable, "-c", SCRIPT, str(root), str(step), str(kill_at)]
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
