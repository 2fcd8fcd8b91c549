"""The callbacks in the real trainers of transformers and Lightning: on a notice the very step is saved."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from outlast import trainer_contract as contract
from outlast.protocol.messages import CheckpointPlan
from outlast.save.watch import Watcher

SCRIPT = Path(__file__).with_name("callback_script.py")
STEPS, ASK_AT = 9, 4


def run(folder: Path, framework: str, *, ask_at: int | None = None, resume: Path | None = None) -> str:
    """The digest of the weights at the end; "" when the training left early."""
    folder.mkdir(exist_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAST_")}
    env |= contract.environment(
        job="j", generation=1, attempt_dir=str(folder), checkpoint_dir=str(folder / "c"),
        resume_from=None if resume is None else str(resume), resume_step=None if resume is None else ASK_AT,
    )  # fmt: skip
    Path(env[contract.SAVE_REQUEST]).unlink(missing_ok=True)
    result = folder / "result"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), framework, str(STEPS), *([] if ask_at is None else [str(ask_at)])],
        env={**env, "RESULT": str(result)}, cwd=folder,
        check=False, timeout=240, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return result.read_text() if result.exists() else ""


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["transformers", "lightning"])
def test_on_a_notice_the_very_step_is_saved_and_the_training_leaves_and_goes_on_exactly(
    tmp_path: Path, framework: str
) -> None:
    straight = run(tmp_path / "straight", framework)
    folder = tmp_path / "stopped"
    assert run(folder, framework, ask_at=ASK_AT) == "", "it left early"
    answer = contract.read_answer((folder / contract.FILE_NAMES[contract.SAVE_ANSWER]).read_bytes())
    assert (answer.id, answer.step, answer.leaving) == ("r", ASK_AT, True)
    lines, _ = contract.read_progress((folder / contract.FILE_NAMES[contract.PROGRESS]).read_bytes())
    assert max(line.step for line in lines if line.step is not None) == ASK_AT, "no step was trained and lost"
    assert any(line.polls for line in lines)
    assert any(line.metrics for line in lines), "losses are told"
    found = Watcher(CheckpointPlan(), folder / "c").scan(0.0, (), ended_well=True)
    assert [one.step for one in found] == [ASK_AT], "the agent takes what was answered for a checkpoint"
    assert run(folder, framework, resume=Path(answer.path)) == straight
