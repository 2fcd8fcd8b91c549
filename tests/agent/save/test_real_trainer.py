"""A real Hugging Face Trainer writes, rotates and is killed while the watcher looks on."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.agent.node.agent_kit import gone
from tests.servers.forking import Zygote, ended, zygote_of

from outlast.clock import SystemRuntime
from outlast.protocol.messages import CheckpointPlan
from outlast.save.gate import Gate, Verdict
from outlast.save.stable_copy import stable_copy
from outlast.save.tidy import Keep, tidy_before_start
from outlast.save.types import StableCopy
from outlast.save.watch import Watcher

SCRIPT = Path(__file__).with_name("trainer_script.py")
LIMIT_S = 120.0
CLOCK = SystemRuntime()


IMPORTS = "import accelerate; from transformers import Trainer"


@pytest.fixture
def zygote(tmp_path: Path) -> Iterator[Zygote]:
    with zygote_of(IMPORTS, tmp_path) as one:
        yield one


def start(zygote: Zygote, root: Path, steps: int, *resume: str) -> tuple[int, Path]:
    """Process id and log."""
    log = root.parent / f"log-{steps}-{len(resume)}"
    env = {"OUTLAST_CHECKPOINT_DIR": str(root)}
    return zygote.fork([str(SCRIPT), str(steps), *resume], env, root.parent, log), log


def whole(folder: Path, step: int) -> None:
    """What the Trainer needs in order to go on is there, and of one step."""
    state: Any = torch.load(folder / "optimizer.pt", weights_only=True)
    assert {int(entry["step"]) for entry in state["state"].values()} == {step}
    for name in ("model.safetensors", "scheduler.pt", "rng_state.pth", "trainer_state.json"):
        assert (folder / name).stat().st_size > 0, name


@pytest.mark.slow
def test_every_copy_taken_beside_a_running_trainer_is_whole_and_it_resumes_after_a_kill(
    tmp_path: Path, zygote: Zygote
) -> None:
    root, staging = tmp_path / "out", tmp_path / "staging"
    root.mkdir()
    tidy_before_start(root, None, "g1")
    eyes = Watcher(CheckpointPlan(), root, quiet_s=0.05)
    eyes.begin()
    pid, log = start(zygote, root, 1000)
    copies: list[StableCopy] = []
    until_s = CLOCK.monotonic_s() + LIMIT_S
    while len(copies) < 4:
        assert CLOCK.monotonic_s() < until_s, f"too few checkpoints were found; waiting: {eyes.waiting}"
        assert not gone(pid), log.read_text()
        for found in eyes.scan(CLOCK.monotonic_s(), (pid,)):
            copy = stable_copy(found, staging, f"n{len(copies)}")
            if isinstance(copy, StableCopy):  # else it was rotated away meanwhile
                copies.append(copy)
        CLOCK.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    assert ended(pid, log) == -signal.SIGKILL
    for number, copy in enumerate(copies):
        whole(staging / f"{copy.step}-n{number}", copy.step)
        assert Gate(sys.executable).check(copy, before=None).verdict == Verdict.OK
    assert len({copy.step for copy in copies}) == len(copies)
    last = copies[-1]
    resume_from = eyes.resume_path(last.step, last.kind)
    keep = Keep(last.step, last.kind, frozenset(file.path for file in last.files))
    shutil.rmtree(resume_from, ignore_errors=True)  # a killed rotation may have left half of it
    (staging / f"{last.step}-n3").rename(resume_from)
    tidy_before_start(root, keep, "g2")
    assert max(int(path.name.split("-")[1]) for path in root.glob("checkpoint-*")) == last.step
    again, log = start(zygote, root, last.step + 5, str(resume_from))
    assert ended(again, log) == 0, log.read_text()
    eyes = Watcher(CheckpointPlan(), root, quiet_s=5.0)
    steps = [one.step for one in eyes.scan(0.0, (), ended_well=True)]
    assert steps[-1] == last.step + 5
