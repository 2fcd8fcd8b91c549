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


class DTensor(torch.Tensor):
    """What tells a tensor that is spread over ranks is its name and that it has placements."""

    placements = ()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (object(), "values.odd: a object"),
        ({"deep": [1, {"x": lambda: 0}]}, r"values\.odd\.deep\.1\.x: a function"),
        (torch.zeros(2, dtype=torch.complex64), "values.odd: a tensor of torch.complex64"),
        (torch.zeros(2).to_sparse(), "values.odd: a tensor with layout"),
        (
            torch.zeros(2, dtype=torch.complex64).as_subclass(DTensor),
            "values.odd: a tensor of torch.complex64",
        ),
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


def test_the_order_in_memory_and_one_tensor_of_two_names_come_back(tmp_path: Path) -> None:
    turned = torch.arange(24.0).reshape(2, 3, 2, 2).to(memory_format=torch.channels_last)
    conjugate = torch.tensor([1 + 2j]).conj()
    values = {
        "turned": turned, "tied": turned, "one": torch.empty_strided((3, 2, 1, 1), (2, 1, 2, 2)).fill_(7.0),
        "gaps": torch.arange(12.0).reshape(3, 4)[:, ::2], "over itself": torch.ones(1).expand(3),
        "imaginary": conjugate.imag, "negated": conjugate.conj().imag,
    }  # fmt: skip
    make(tmp_path, odd=values)[1].save(1)
    loaded = make(tmp_path, odd=None)[1]
    loaded.restore()
    back = loaded.values["odd"]
    assert all(torch.equal(back[name], tensor) for name, tensor in values.items())
    assert [back[name].stride() for name in ("turned", "one")] == [(12, 1, 6, 3), (2, 1, 2, 2)]
    assert all(back[name].is_contiguous() for name in ("gaps", "over itself"))
    assert back["tied"] is back["turned"]


def test_a_fused_optimizer_of_a_model_in_channels_last_goes_on_exactly(tmp_path: Path) -> None:
    """It takes moments and weights by their order in memory, whatever their strides say."""

    def build() -> tuple[torch.nn.Module, torch.optim.Optimizer, outlast.Checkpointer]:
        torch.manual_seed(1)
        model: Any = torch.nn.Conv2d(4, 6, 3)
        model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
        checkpointer = outlast.Checkpointer(model=model, optimizer=optimizer, dir=tmp_path, every=None)
        return model, optimizer, checkpointer

    def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        model(torch.randn(2, 4, 8, 8)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    model, optimizer, checkpointer = build()
    train(model, optimizer)
    checkpointer.save(1)
    again, its_optimizer, checkpointer = build()
    checkpointer.restore()
    for one, its in ((model, optimizer), (again, its_optimizer)):
        torch.manual_seed(2)
        train(one, its)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


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


def test_the_marker_names_every_file(tmp_path: Path) -> None:
    folder = make(tmp_path)[1].save(3)
    named = {file["path"] for file in json.loads((folder / MARKER).read_bytes())["files"]}
    assert named | {MARKER} == {path.name for path in folder.iterdir()}
