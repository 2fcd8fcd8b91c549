"""`outlast.Checkpointer`: a run that was killed ends as one that never was, and never resumes from half."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.servers.forking import Zygote, zygote_of

import outlast
from outlast import trainer_contract as contract
from outlast.checkpoint_files import steps, verify
from outlast.save.marker import MARKER
from outlast.training import CheckpointError

SCRIPT = Path(__file__).with_name("training_script.py")
STEPS = 17
# What the script loads, at the latest when it makes its optimizer.
IMPORTS = "import torch._dynamo, torch.utils.data, outlast.checkpointer"


def train(zygote: Zygote, folder: Path, *args: object, **env: str) -> int:
    log = folder / "log"
    argv = [str(SCRIPT), str(STEPS), str(folder / "result"), *map(str, args)]
    code = zygote.run(argv, {contract.CHECKPOINT_DIR: str(folder / "checkpoints"), **env}, folder, log)
    assert "Traceback" not in log.read_text(), log.read_text()
    return code


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with zygote_of(IMPORTS, tmp_path_factory.mktemp("zygote")) as one:
        yield one


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """In an interpreter of its own, with another order of hashes."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAST_")}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(STEPS), str(folder / "result")],
        env={**clean, contract.CHECKPOINT_DIR: str(folder / "checkpoints")},
        check=False, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return (folder / "result").read_text()


@pytest.mark.slow
def test_a_run_killed_at_random_steps_ends_bit_for_bit_like_one_that_never_was(
    tmp_path: Path, uninterrupted: str, zygote: Zygote
) -> None:
    for kill_at in sorted(random.Random(7).sample(range(1, STEPS), 4)):
        assert train(zygote, tmp_path, kill_at) == -9
    assert train(zygote, tmp_path) == 0
    assert (tmp_path / "result").read_text() == uninterrupted


@pytest.mark.slow
def test_a_final_request_saves_the_very_step_answers_and_leaves_with_0(
    tmp_path: Path, uninterrupted: str, zygote: Zygote
) -> None:
    attempt = tmp_path / "attempt"
    attempt.mkdir()
    env = contract.environment(
        job="j", generation=1, attempt_dir=str(attempt), checkpoint_dir=str(tmp_path / "checkpoints"),
        resume_from=None, resume_step=None,
    )  # fmt: skip
    request = contract.SaveRequest("r1", final=True, why="the market takes the machine")
    Path(env[contract.SAVE_REQUEST]).write_bytes(contract.request_bytes(request))
    assert train(zygote, tmp_path, **env) == 0
    assert not (tmp_path / "result").exists(), "it left early"
    assert not Path(env[contract.DONE]).exists(), "leaving is not the end of the work"
    answer = contract.read_answer(Path(env[contract.SAVE_ANSWER]).read_bytes())
    assert (answer.id, answer.step, answer.leaving) == ("r1", 0, True)
    lines, _ = contract.read_progress(Path(env[contract.PROGRESS]).read_bytes())
    assert lines[0].polls or lines[1].polls
    assert max(line.step for line in lines if line.step is not None) == 0, "no step was trained and lost"
    Path(env[contract.SAVE_REQUEST]).unlink()
    resumed = {**env, contract.RESUME_FROM: answer.path, contract.RESUME_STEP: "0"}
    assert train(zygote, tmp_path, **resumed) == 0
    assert (tmp_path / "result").read_text() == uninterrupted
    assert contract.read_done(Path(env[contract.DONE]).read_bytes()).step == STEPS - 1


def make(folder: Path, **extra: Any) -> tuple[torch.nn.Module, outlast.Checkpointer]:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 4)
    return model, outlast.Checkpointer(model=model, dir=folder, every=None, **extra)


def test_with_an_agent_that_names_no_checkpoint_it_starts_fresh_whatever_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)[1].save(5)
    assert make(tmp_path)[1].restore() == 6
    monkeypatch.setenv(contract.GENERATION, "3")
    assert make(tmp_path)[1].restore() == 0


def test_a_checkpoint_that_the_agent_names_but_is_torn_stops_instead_of_starting_at_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path)[1].save(5)
    with (folder / "tensors.safetensors").open("ab") as file:
        file.write(b"x")
    monkeypatch.setenv(contract.RESUME_FROM, str(folder))
    with pytest.raises(CheckpointError, match=r"tensors\.safetensors"):
        make(tmp_path)[1].restore()


def test_alone_it_takes_the_newest_whole_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpointer = make(tmp_path)[1]
    checkpointer.save(1)
    (checkpointer.save(2) / "state.json").unlink()
    assert make(tmp_path)[1].restore() == 2
    assert "state.json" in caplog.text


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (object(), "values.odd: a object"),
        ({"deep": [1, {"x": lambda: 0}]}, r"values\.odd\.deep\.1\.x: a function"),
        (torch.zeros(2, dtype=torch.complex64), "values.odd: a tensor of torch.complex64"),
        (torch.zeros(2).to_sparse(), "values.odd: a tensor with layout"),
    ],
)
def test_what_would_not_come_back_is_refused_by_name_and_leaves_nothing(
    tmp_path: Path, value: object, name: str
) -> None:
    checkpointer = make(tmp_path / "c", odd=value)[1]
    with pytest.raises(CheckpointError, match=name):
        checkpointer.save(1)
    assert not (tmp_path / "c").exists() or list((tmp_path / "c").iterdir()) == []


def test_pickle_is_for_those_who_ask(tmp_path: Path) -> None:
    value = {"when": Fraction(1, 3)}
    make(tmp_path, odd=value, allow_pickle=True)[1].save(1)
    with pytest.raises(CheckpointError, match="allow_pickle=True to load"):
        make(tmp_path, odd=None)[1].restore()
    again = make(tmp_path, odd=None, allow_pickle=True)[1]
    assert again.restore() == 2
    assert again.values["odd"] == value
    with pytest.raises(CheckpointError, match=r"values\.odd.* can't be pickled"):
        make(tmp_path, odd=lambda: 0, allow_pickle=True)[1].save(2)


def test_tensors_come_back_bit_for_bit_tied_and_odd_ones_too(tmp_path: Path) -> None:
    base = torch.randn(6, 6)
    odd = {
        "nan": torch.tensor([float("nan"), -0.0, float("inf")]), "half": torch.randn(3).bfloat16(),
        "view": base[1:3, ::2], "flat": base.view(-1), "base": base, "tied": base, "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 3), 7: (1, float("inf"), b"\0", {1, 2}), "counter": None,
    }  # fmt: skip
    make(tmp_path, odd=odd)[1].save(1)
    loaded = make(tmp_path, odd=None)[1]
    assert loaded.restore() == 2
    back = loaded.values["odd"]
    for name, tensor in odd.items():
        if isinstance(tensor, torch.Tensor):
            same = back[name].contiguous().view(-1).view(torch.uint8) if tensor.dim() else back[name]
            want = tensor.contiguous().view(-1).view(torch.uint8) if tensor.dim() else tensor
            assert back[name].dtype == tensor.dtype
            assert torch.equal(same, want), name
    assert back[7] == odd[7]


def test_float32_moments_of_bfloat16_weights_are_not_rounded(tmp_path: Path) -> None:
    def build() -> tuple[torch.nn.Parameter, torch.optim.SGD]:
        weight = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
        return weight, torch.optim.SGD([weight], lr=0.1, momentum=0.9)

    weight, optimizer = build()
    optimizer.state[weight]["momentum_buffer"] = torch.full((4,), 1.0001)
    outlast.Checkpointer(optimizer=optimizer, dir=tmp_path, every=None).save(1)
    weight, optimizer = build()
    outlast.Checkpointer(optimizer=optimizer, dir=tmp_path, every=None).restore()
    assert torch.equal(optimizer.state[weight]["momentum_buffer"], torch.full((4,), 1.0001))


def test_only_its_own_old_saves_are_deleted_and_none_is_ever_seen_half(tmp_path: Path) -> None:
    make(tmp_path)[1].save(1)
    checkpointer = make(tmp_path, keep=2)[1]
    for step in (10, 11, 12):
        verify(checkpointer.save(step))
    assert steps(tmp_path) == [1, 11, 12]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("every", [0, -1, "soon", "0s"])
def test_a_cadence_that_means_nothing_is_refused(tmp_path: Path, every: Any) -> None:
    with pytest.raises(CheckpointError, match="every="):
        outlast.Checkpointer(dir=tmp_path, every=every)


def test_a_save_right_after_a_restore_loses_neither_position_nor_randomness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(folder: Path) -> tuple[outlast.Checkpointer, Any]:
        torch.manual_seed(5)
        data = torch.utils.data.TensorDataset(torch.arange(12))
        loader: Any = torch.utils.data.DataLoader(data, batch_size=2, shuffle=True)
        return outlast.Checkpointer(dir=folder, every=None), loader

    checkpointer, loader = begin(tmp_path / "a")
    order = []
    for number, batch in enumerate(checkpointer.batches(loader)):
        order.append(batch[0].tolist())
        if number == 2:
            checkpointer.save(number)
    with monkeypatch.context() as env:
        env.setenv(contract.RESUME_FROM, str(tmp_path / "a" / "step-000000002"))
        again, loader = begin(tmp_path / "b")
        assert again.restore() == 3
    torch.rand(3)  # something that draws between the restore and the first batch
    again.save(2)
    last, loader = begin(tmp_path / "b")
    assert last.restore() == 3
    assert [batch[0].tolist() for batch in last.batches(loader)] == order[3:]


def test_a_loader_with_its_own_state_is_asked_for_it(tmp_path: Path) -> None:
    class Loader:
        def __init__(self) -> None:
            self.at = 0

        def __iter__(self) -> Any:
            while self.at < 6:
                self.at += 1
                yield self.at

        def state_dict(self) -> dict[str, int]:
            return {"at": self.at}

        def load_state_dict(self, state: dict[str, int]) -> None:
            self.at = state["at"]

    checkpointer = outlast.Checkpointer(dir=tmp_path, every=None)
    for number in checkpointer.batches(Loader()):
        if number == 4:
            checkpointer.save(number)
    again = outlast.Checkpointer(dir=tmp_path, every=None)
    again.restore()
    assert list(again.batches(Loader())) == [5, 6]


def test_data_that_became_shorter_is_an_error_and_not_a_silent_new_pass(tmp_path: Path) -> None:
    checkpointer = outlast.Checkpointer(dir=tmp_path, every=None)
    for number in checkpointer.batches([1, 2, 3]):
        checkpointer.save(number)
    again = outlast.Checkpointer(dir=tmp_path, every=None)
    again.restore()
    with pytest.raises(CheckpointError, match="ended at batch 1"):
        next(iter(again.batches([1])))


def test_the_marker_names_every_file(tmp_path: Path) -> None:
    folder = make(tmp_path)[1].save(3)
    named = {file["path"] for file in json.loads((folder / MARKER).read_bytes())["files"]}
    assert named | {MARKER} == {path.name for path in folder.iterdir()}


def test_a_loop_without_a_loader_keeps_its_randomness_over_two_resumes(tmp_path: Path) -> None:
    """A loop that makes its own batches never calls `batches`; its dropout must still go on exactly."""

    def run(folder: Path, stops: tuple[int, ...]) -> float:
        for stop in stops:
            torch.manual_seed(5)  # every process begins like this; a resume must not keep it
            model = torch.nn.Linear(4, 4)
            checkpointer = outlast.Checkpointer(dir=folder, every=5, model=model)
            for step in range(checkpointer.restore(), stop):
                with torch.no_grad():
                    model.weight.add_(torch.rand(4, 4))
                checkpointer.step(step)
        return model.weight.sum().item()

    assert run(tmp_path / "a", (15,)) == run(tmp_path / "b", (5, 10, 15))
