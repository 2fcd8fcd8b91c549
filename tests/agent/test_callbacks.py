"""The callbacks in the real trainers of transformers and Lightning: on a notice the very step is saved."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.servers.forking import Zygote, zygote_of

from outlast import trainer_contract as contract
from outlast.protocol.messages import CheckpointPlan
from outlast.save.watch import Watcher

SCRIPT = Path(__file__).with_name("callback_script.py")
STEPS, ASK_AT = 9, 4


IMPORTS = {
    "transformers": "import accelerate, outlast.integrations.transformers; from transformers import Trainer",
    "lightning": "import lightning.pytorch, outlast.integrations.lightning",
}


def run(
    zygote: Zygote, folder: Path, framework: str, *, ask_at: int | None = None, resume: Path | None = None
) -> str:
    """The digest of the weights at the end; "" when the training left early."""
    folder.mkdir(exist_ok=True)
    env = contract.environment(
        job="j", generation=1, attempt_dir=str(folder), checkpoint_dir=str(folder / "c"),
        resume_from=None if resume is None else str(resume), resume_step=None if resume is None else ASK_AT,
    )  # fmt: skip
    Path(env[contract.SAVE_REQUEST]).unlink(missing_ok=True)
    result, log = folder / "result", folder / "log"
    argv = [str(SCRIPT), framework, str(STEPS), *([] if ask_at is None else [str(ask_at)])]
    code = zygote.run(argv, {**env, "RESULT": str(result)}, folder, log)
    assert code == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    return result.read_text() if result.exists() else ""


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["transformers", "lightning"])
def test_on_a_notice_the_very_step_is_saved_and_the_training_leaves_and_goes_on_exactly(
    tmp_path: Path, framework: str
) -> None:
    with zygote_of(IMPORTS[framework], tmp_path) as zygote:
        straight = run(zygote, tmp_path / "straight", framework)
        folder = tmp_path / "stopped"
        assert run(zygote, folder, framework, ask_at=ASK_AT) == "", "it left early"
        answer = contract.read_answer((folder / contract.FILE_NAMES[contract.SAVE_ANSWER]).read_bytes())
        assert (answer.id, answer.step, answer.leaving) == ("r", ASK_AT, True)
        lines, _ = contract.read_progress((folder / contract.FILE_NAMES[contract.PROGRESS]).read_bytes())
        trained = max(line.step for line in lines if line.step is not None)
        assert trained == ASK_AT, "no step was trained and lost"
        assert any(line.polls for line in lines)
        assert any(line.metrics for line in lines), "losses are told"
        found = Watcher(CheckpointPlan(), folder / "c").scan(0.0, (), ended_well=True)
        assert [one.step for one in found] == [ASK_AT], "the agent takes what was answered for a checkpoint"
        assert run(zygote, folder, framework, resume=Path(answer.path)) == straight
