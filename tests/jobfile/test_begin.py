"""`outlast init`: each framework is recognised by its own words, and what is written can be submitted."""

from __future__ import annotations

import shutil
from pathlib import Path
from textwrap import dedent

import pytest

from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.jobfile.begin import JOB_FILE, begin
from outlast_orchestrator.jobfile.draft import Draft
from outlast_orchestrator.jobfile.load import JobFile, load_job_file

EXAMPLES = Path(__file__).parents[2] / "configs" / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*/train.py"))


def begun(folder: Path, source: str, name: str = "train.py") -> tuple[Draft, JobFile]:
    """What was found in a script, and the job file as its own loader reads it."""
    (folder / name).write_text(dedent(source))
    made = begin(folder / name)
    assert made.file == folder / JOB_FILE
    return made.draft, load_job_file(made.file)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.parent.name)
def test_for_each_example_it_writes_what_its_own_job_file_says(script: Path, tmp_path: Path) -> None:
    folder = tmp_path / script.parent.name
    shutil.copytree(script.parent, folder)
    made = begin(folder / "train.py")
    assert made.draft.framework
    assert not made.draft.to_do
    ours = load_job_file(made.file).spec.checkpoint
    theirs = load_job_file(script.parent.with_suffix(".yaml")).spec.checkpoint
    assert (ours.dir, ours.resume_args) == (theirs.dir, theirs.resume_args)
    if made.draft.signal:
        assert ours.signal == theirs.signal


def test_there_are_examples() -> None:
    assert len(SCRIPTS) >= 2


def test_a_hugging_face_script_of_every_day(tmp_path: Path) -> None:
    source = """
        from transformers import AutoModel, Trainer, TrainingArguments as Arguments

        OUT = "./results/run-1"
        arguments = Arguments(OUT, save_steps=100)
        trainer = Trainer(model=AutoModel.from_pretrained("x"), args=arguments)
        trainer.train()
        trainer.save_model("final")
    """
    draft, job = begun(tmp_path, source)
    assert draft.framework == "Hugging Face Trainer"
    assert job.spec.checkpoint.dir == "results/run-1"
    assert (job.spec.run, job.spec.outputs) == ("python train.py", ("final",))
    assert (job.spec.checkpoint.signal, job.spec.checkpoint.resume_args) == ("none", "")
    told = "\n".join(draft.to_do)
    assert "train.py:7: it always begins at 0" in told
    assert "enable_jit_checkpoint" in told


def test_with_our_callback_nothing_is_left_to_do_about_notices(tmp_path: Path) -> None:
    source = """
        import os
        from outlast.integrations.transformers import OutlastCallback
        from transformers import Trainer, TrainingArguments

        trainer = Trainer(args=TrainingArguments("out"), callbacks=[OutlastCallback()])
        trainer.train(resume_from_checkpoint=os.environ.get("OUTLAST_RESUME_FROM"))
    """
    draft, job = begun(tmp_path, source)
    assert not draft.to_do
    assert (job.spec.checkpoint.dir, job.spec.checkpoint.signal) == ("out", "none")


def test_arguments_from_the_command_line_are_given_there(tmp_path: Path) -> None:
    source = """
        from transformers import HfArgumentParser, Trainer, TrainingArguments
        (arguments,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()
        trainer = Trainer(args=arguments)
        trainer.train(resume_from_checkpoint=arguments.resume_from_checkpoint)
    """
    draft, job = begun(tmp_path, source)
    assert job.spec.run == "python train.py --output_dir checkpoints"
    assert job.spec.checkpoint.resume_args == "--resume_from_checkpoint {resume_from}"
    assert not draft.to_do


def test_trl_with_peft_and_a_plain_true(tmp_path: Path) -> None:
    source = """
        import trl
        from peft import LoraConfig
        trainer = trl.SFTTrainer("m", args=trl.SFTConfig(output_dir="sft"), peft_config=LoraConfig())
        trainer.train(resume_from_checkpoint=True)
    """
    draft, job = begun(tmp_path, source)
    assert (draft.framework, job.spec.checkpoint.dir) == ("Hugging Face Trainer with PEFT", "sft")
    assert any("fails while there is no checkpoint" in line for line in draft.to_do)


@pytest.mark.parametrize(
    ("source", "framework", "folder"),
    [
        ("import lightning as L\nL.Trainer(default_root_dir='runs').fit(m)", "Lightning", "runs"),
        ("import pytorch_lightning as pl\npl.Trainer().fit(m)", "Lightning", "lightning_logs"),
        (
            "import lightning as L\nfrom lightning.pytorch.callbacks import ModelCheckpoint\n"
            "L.Trainer(callbacks=[ModelCheckpoint(dirpath='a/b', save_on_exception=True)]).fit(m)",
            "Lightning",
            "a/b",
        ),
        ("import torchtitan.train", "torchtitan", "outputs/checkpoint"),
        (
            "import deepspeed\nengine, *_ = deepspeed.initialize(model=m)\n"
            "for s in range(9):\n    engine.save_checkpoint('ds', tag=s)",
            "DeepSpeed",
            "ds",
        ),
        (
            "from accelerate import Accelerator\na = Accelerator()\n"
            "for s in range(9):\n    a.save_state(f'states/step_{s}')",
            "Accelerate",
            "states",
        ),
        (
            "import os\nimport torch.distributed.checkpoint as dcp\n"
            "for s in range(9):\n    dcp.save(x, checkpoint_id=os.path.join('dcp', 'all', f'step-{s}'))",
            "torch.distributed.checkpoint",
            "dcp/all",
        ),
        (
            "import torch\nfrom pathlib import Path\nroot = Path('saves')\n"
            "while True:\n    torch.save(x, root / f'model_{step}.pt')\ntorch.save(x, 'final/model.pt')",
            "torch.save",
            "saves",
        ),
        (
            "import argparse, torch\np = argparse.ArgumentParser()\np.add_argument('--out', default='o')\n"
            "a = p.parse_args()\ntorch.save(x, f'{a.out}/m.pt')",
            "torch.save",
            "o",
        ),
        (
            "import outlast\nwhile outlast.should_save():\n    pass",
            "a loop of its own with outlast",
            "checkpoints",
        ),
    ],
)
def test_each_framework_by_its_own_words(source: str, framework: str, folder: str, tmp_path: Path) -> None:
    draft, job = begun(tmp_path, source)
    assert (draft.framework, job.spec.checkpoint.dir) == (framework, folder)
    if "save_on_exception" in source:
        assert job.spec.checkpoint.signal == "TERM"
    text = (tmp_path / JOB_FILE).read_text()
    assert all(note in text for note in (*draft.found, *draft.to_do))


def test_what_it_imports_of_its_own_folder_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "loop.py").write_text("from .save import save")
    (tmp_path / "lib" / "save.py").write_text(
        "import torch\n\ndef save(step):\n    torch.save({}, f'kept/{step}.pt')"
    )
    (tmp_path / "broken.py").write_text("def f(:")
    draft, job = begun(tmp_path, "import broken\nfrom lib.loop import main\nmain()")
    assert draft.framework == "torch.save"
    assert job.spec.checkpoint.dir == "kept"
    assert any("lib/save.py:4" in line for line in draft.found)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("'/scratch/me'", "not inside the working folder"),
        ("'../up'", "not inside the working folder"),
        ("'.'", "a folder of their own"),
        ("where()", "can't be read"),
    ],
)
def test_a_folder_that_a_job_file_can_not_name_is_something_to_do(
    path: str, told: str, tmp_path: Path
) -> None:
    source = f"from transformers import Trainer, TrainingArguments\nTrainer(args=TrainingArguments({path}))"
    draft, job = begun(tmp_path, source)
    assert job.spec.checkpoint.dir == "checkpoints"
    assert any(told in line and line.startswith("train.py:2") for line in draft.to_do)


def test_a_switch_that_takes_no_value_is_no_way_to_go_on(tmp_path: Path) -> None:
    source = """
        import argparse, torch
        p = argparse.ArgumentParser()
        p.add_argument("--resume", action="store_true")
        torch.save({}, "saves/last.pt")
    """
    draft, job = begun(tmp_path, source)
    assert job.spec.checkpoint.resume_args == ""
    assert any("OUTLAST_RESUME_FROM" in line for line in draft.to_do)


@pytest.mark.parametrize("name", ["train.py", "go on.sh"])
def test_when_nothing_is_recognised_it_says_so_and_writes_the_least(name: str, tmp_path: Path) -> None:
    draft, job = begun(tmp_path, "print('hello')", name)
    assert draft.framework == ""
    assert "# No framework was recognised." in (tmp_path / JOB_FILE).read_text()
    assert job.script == name
    assert any("OUTLAST_CHECKPOINT_DIR" in line for line in draft.to_do)


def test_names_requirements_and_odd_characters(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").touch()
    source = "import torch\nfor s in range(3):\n    torch.save(x, f'ein: #1 \\'q\\'/{s}.pt')"
    _, job = begun(tmp_path, source, "my model.py")
    assert (job.name, job.spec.run) == ("my-model", "python 'my model.py'")
    assert job.spec.checkpoint.dir == "ein: #1 'q'"
    assert job.spec.install == "pip install -r requirements.txt"


def test_nothing_is_run_and_nothing_overwritten(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("raise SystemExit(open('ran', 'w'))")
    begin(tmp_path / "train.py")
    (tmp_path / JOB_FILE).write_text("run: 'true'\n")
    with pytest.raises(UserError, match="-f"):
        begin(tmp_path / "train.py")
    assert (tmp_path / JOB_FILE).read_text() == "run: 'true'\n"
    begin(tmp_path / "train.py", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [JOB_FILE, "train.py"]


@pytest.mark.parametrize(
    ("source", "told"), [("def f(:\n", "train.py:1: is no Python"), ("x = '\0'", "is no Python")]
)
def test_a_script_that_is_none_gets_one_line(source: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(source)
    with pytest.raises(UserError) as raised:
        begin(tmp_path / "train.py")
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / JOB_FILE).exists()


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        begin(tmp_path / "none.py")
    with pytest.raises(UserError, match="is a folder"):
        begin(tmp_path)


def test_a_name_that_is_no_text_is_said_to_be_none(tmp_path: Path) -> None:
    script = tmp_path / "tr\udcffain.py"
    script.touch()
    with pytest.raises(UserError, match="rename it"):
        begin(script)
    assert list(tmp_path.iterdir()) == [script]


def test_a_name_that_begins_like_an_option_is_no_option(tmp_path: Path) -> None:
    _, job = begun(tmp_path, "print(1)\n", "-x.py")
    assert job.spec.run == "python ./-x.py"
