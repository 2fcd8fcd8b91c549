"""A Hugging Face Trainer in zero-code mode: interrupted twice, it ends as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from tests.e2e.stage import PYTHON, Stage, track

SCRIPT = Path(__file__).with_name("hf_train.py")
STEPS = 140
STEP_S = 0.25
LIMIT_S = 120.0
NOTICE_S = 60.0  # it leaves as soon as it has saved; a busy machine may need long for that
RUN = f"{PYTHON} train.py --output_dir checkpoints --max_steps {STEPS}"
QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def _weights(folder: Path) -> str:
    """A hash over the final tensors' bytes."""
    tensors = load_file(folder / "final" / "model.safetensors")
    return hashlib.sha256(b"".join(tensors[name].tobytes() for name in sorted(tensors))).hexdigest()


def _start_undisturbed(folder: Path) -> subprocess.Popen[bytes]:
    """The same training without Outlast."""
    folder.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OUTLAST_")}
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(
            [PYTHON, str(SCRIPT), "--max_steps", str(STEPS)],
            cwd=folder,
            env={**environment, **QUIET},
            stdout=output,
            stderr=output,
        )


@pytest.mark.slow
def test_interrupted_twice_it_ends_with_the_weights_of_a_run_that_never_was(
    shared: Stage, tmp_path: Path
) -> None:
    undisturbed = _start_undisturbed(tmp_path / "undisturbed")
    path, go = shared.folder / "hf.track", tmp_path / "go"
    job = shared.submit(
        "hf",
        {"train.py": SCRIPT.read_text()},
        run=RUN,
        outputs=["final"],
        env={**QUIET, "TRACK": str(path), "STEP_S": str(STEP_S), "GO": str(go)},
        checkpoint={"resume_args": "--resume_from_checkpoint {resume_from}", "signal": "TERM"},
    )
    shared.until_saved(job, 1)
    shared.cloud.interrupt(shared.machine(job), notice_s=NOTICE_S)
    shared.until_saved(job, 2)
    shared.cloud.interrupt(shared.machine(job), notice=False)
    go.touch()
    done = shared.until_state(job, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", shared.story(job)

    # On the notice it saved and left with 0: that was no end.
    exits = shared.events(job, "trainer.exited")
    assert [e["data"]["code"] for e in exits if e["attempt"] == 1] == ["0"], shared.story(job)
    # Nothing is skipped: every attempt goes on with the step after its checkpoint.
    steps = track(path)
    assert {step for _, step in steps} == set(range(1, STEPS + 1))
    begun = {a["generation"]: a["start_step"] for a in done["attempts"]}
    assert {g: min(s for at, s in steps if at == g) for g in begun} == {g: s + 1 for g, s in begun.items()}
    assert len(begun) == 3
    assert 0 < begun[2] < begun[3] < STEPS
    # Its final save is of the last step, or of the one before, where the Trainer stops between two steps.
    assert max(step for generation, step in steps if generation == 1) - begun[2] in (0, 1)

    shared.outlast("outputs", "get", "hf", tmp_path / "got")
    assert undisturbed.wait(LIMIT_S) == 0, (tmp_path / "undisturbed" / "output").read_text()
    assert _weights(tmp_path / "got") == _weights(tmp_path / "undisturbed")
    last = max((tmp_path / "undisturbed" / "checkpoints").iterdir(), key=lambda p: int(p.name.split("-")[1]))
    assert json.loads((last / "trainer_state.json").read_text())["global_step"] == STEPS
