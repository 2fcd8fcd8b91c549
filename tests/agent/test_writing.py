"""The writer process: what a death, a full disk or a second save means for the saves, and what is linked."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tests.bench.saving import second_upload_share

import outlast
from outlast import trainer_contract as contract
from outlast.checkpoint_files import steps, temp_name, verify
from outlast.node.processes import descendants
from outlast.save.marker import MARKER, MarkedFile
from outlast.training import CheckpointError
from outlast.writing.plan import SavePlan
from outlast.writing.process import carry_out


def make(
    folder: Path, frozen: int = 0, every: int | None = None
) -> tuple[torch.nn.Module, outlast.Checkpointer]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(*(torch.nn.Linear(64, 64, bias=False) for _ in range(4)))
    for layer in list(model)[:frozen]:
        layer.requires_grad_(False)
    return model, outlast.Checkpointer(model=model, dir=folder, every=every)


def weight(model: torch.nn.Module, number: int) -> torch.Tensor:
    return list(model.parameters())[number]


def writers() -> list[int]:
    return [
        pid
        for pid in descendants(os.getpid())
        if b"outlast.writing" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@contextmanager
def asleep(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def new_writers(before: list[int]) -> list[int]:
    found = [pid for pid in writers() if pid not in before]
    assert found, "no writer process was started"
    return found


def test_the_training_goes_on_while_a_save_is_written_and_what_it_changes_is_not_in_it(
    tmp_path: Path,
) -> None:
    before = writers()
    model, checkpointer = make(tmp_path, every=1)
    checkpointer.save(0)
    with torch.no_grad():
        weight(model, 0).fill_(1.0)
    with asleep(new_writers(before)):
        checkpointer.step(1)
        assert steps(tmp_path) == [0], "not durable yet, and the step is over"
        with torch.no_grad():
            weight(model, 0).fill_(2.0)
    checkpointer.save(2)
    for step, value in ((1, 1.0), (2, 2.0)):
        saved = load_file(tmp_path / f"step-{step:09d}" / "tensors.safetensors")
        assert torch.all(saved["model.0.weight"] == value)


def test_by_time_a_save_waits_for_the_one_before_instead_of_stopping_the_training(tmp_path: Path) -> None:
    before = writers()
    model = torch.nn.Linear(2, 2)
    checkpointer = outlast.Checkpointer(model=model, dir=tmp_path, every="0.001s")
    checkpointer.save(0)
    with asleep(new_writers(before)):
        for step in range(1, 4):
            checkpointer.step(step)
    checkpointer.save(4)
    assert steps(tmp_path) == [0, 1, 4]


def test_a_writer_that_is_killed_costs_its_save_and_the_next_one_has_a_new_writer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = writers()
    checkpointer = make(tmp_path, every=1)[1]
    checkpointer.save(0)
    pids = new_writers(before)
    os.kill(pids[0], signal.SIGSTOP)
    checkpointer.step(1)
    os.kill(pids[0], signal.SIGKILL)
    checkpointer.step(2)
    checkpointer.save(3)
    assert steps(tmp_path) == [0, 2, 3]
    assert "step 1 could not be saved: the writer process ended" in caplog.text
    assert "signal 9" in caplog.text


def test_a_full_disk_costs_the_save_and_not_the_training(tmp_path: Path) -> None:
    script = (
        "import os, resource, sys, torch, outlast\n"
        "from outlast.node.processes import descendants\n"
        "c = outlast.Checkpointer(m=torch.nn.Linear(300, 300), dir=sys.argv[1], every=1)\n"
        "c.step(0)\n"
        "def limit(size):\n"
        "    for pid in descendants(os.getpid()):\n"
        "        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))\n"
        "c.save(0)\n"
        "limit(50_000)\n"
        "c.step(1)\n"
        "try:\n"
        "    c.save(1)\n"
        "except OSError as error:\n"
        "    print(error.errno)\n"
        "limit(resource.RLIM_INFINITY)\n"
        "c.step(2)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=False, timeout=60, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "step 1 could not be saved" in done.stderr
    assert done.stdout.strip() == str(errno.EFBIG), "who saves himself is told"
    assert steps(tmp_path) == [0, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000000", "step-000000002"]


SCRIPT = """
import os, signal, sys, torch, outlast
from outlast.integrations.torch_staging import Staging
from outlast.node.processes import descendants
c = outlast.Checkpointer(model=torch.nn.Linear(4, 4), dir=sys.argv[1], every=1)
c.step(0)
if "final" in sys.argv:
    for pid in descendants(os.getpid()):
        os.kill(pid, signal.SIGKILL)
    c.step(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def run(folder: Path, *words: str, **env: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), *words], env={**os.environ, **env},
        check=False, timeout=120, capture_output=True,
    ).returncode  # fmt: skip


@pytest.mark.slow
def test_a_save_that_was_handed_over_is_finished_though_the_trainer_is_killed(tmp_path: Path) -> None:
    assert run(tmp_path) == -9
    assert steps(tmp_path) == [0]
    verify(tmp_path / "step-000000000", hashes=True)


@pytest.mark.slow
def test_a_final_save_is_made_though_the_writer_has_just_died(tmp_path: Path) -> None:
    (tmp_path / "attempt").mkdir()
    env = contract.environment(
        job="j", generation=1, attempt_dir=str(tmp_path / "attempt"), checkpoint_dir=str(tmp_path / "c"),
        resume_from=None, resume_step=None,
    )  # fmt: skip
    script = SCRIPT.replace("    c.step(1)\n", (
        "    from outlast import trainer_contract as t\n"
        "    request = t.SaveRequest('r', final=True)\n"
        "    open(os.environ[t.SAVE_REQUEST], 'wb').write(t.request_bytes(request))\n"
        "    c.step(1)\n"
    ))  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "c"), "final"], env={**os.environ, **env},
        check=False, timeout=120, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = contract.read_answer(Path(env[contract.SAVE_ANSWER]).read_bytes())
    assert (answer.step, answer.leaving) == (1, True)
    verify(Path(answer.path), hashes=True)


def test_what_is_not_trained_lies_in_a_file_of_its_own_which_is_linked(tmp_path: Path) -> None:
    model, checkpointer = make(tmp_path, frozen=3)
    first = checkpointer.save(1)
    with torch.no_grad():
        weight(model, 3).add_(1)
    second = checkpointer.save(2)
    assert (first / "frozen.safetensors").samefile(second / "frozen.safetensors")
    sizes = {path.name: path.stat().st_size for path in second.iterdir()}
    assert sizes["frozen.safetensors"] > 2 * sizes["tensors.safetensors"]
    with torch.no_grad():
        weight(model, 0).add_(1)  # somebody does it all the same
    third = checkpointer.save(3)
    assert not (second / "frozen.safetensors").samefile(third / "frozen.safetensors")
    again, other = make(tmp_path, frozen=3)
    assert other.restore() == 4
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))
    assert (other.save(4) / "frozen.safetensors").samefile(third / "frozen.safetensors"), "over a resume too"


def test_a_frozen_base_is_sent_to_the_bucket_once(tmp_path: Path) -> None:
    assert second_upload_share(tmp_path, 4 << 20) < 0.055


def test_the_marker_holds_the_hash_of_every_file_and_a_changed_byte_is_seen(tmp_path: Path) -> None:
    folder = make(tmp_path)[1].save(1)
    marker = json.loads((folder / MARKER).read_bytes())
    assert all(file["hash"].startswith("xxh3-128:") for file in marker["files"])
    verify(folder, hashes=True)
    path = folder / "tensors.safetensors"
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)
    verify(folder)
    with pytest.raises(CheckpointError, match="is damaged"):
        verify(folder, hashes=True)


def test_a_request_is_answered_when_it_is_durable_and_not_before(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, torch, outlast\n"
        "from pathlib import Path\n"
        "from outlast import trainer_contract as t\n"
        "from outlast.node.processes import descendants\n"
        "c = outlast.Checkpointer(model=torch.nn.Linear(4, 4), dir=sys.argv[1], every=None)\n"
        "c.save(0)\n"
        "answer = Path(os.environ[t.SAVE_ANSWER])\n"
        "(writer,) = descendants(os.getpid())\n"
        "os.kill(writer, signal.SIGSTOP)\n"
        "Path(os.environ[t.SAVE_REQUEST]).write_bytes(t.request_bytes(t.SaveRequest('r')))\n"
        "for step in (1, 2, 3):\n"
        "    c.step(step)\n"
        "    assert not answer.exists()\n"
        "os.kill(writer, signal.SIGCONT)\n"
        "while not answer.exists():\n"
        "    c.step(step := step + 1)\n"
    )
    env = contract.environment(
        job="j", generation=1, attempt_dir=str(tmp_path), checkpoint_dir=str(tmp_path / "c"),
        resume_from=None, resume_step=None,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "c")], env={**os.environ, **env},
        check=False, timeout=120, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = contract.read_answer(Path(env[contract.SAVE_ANSWER]).read_bytes())
    assert (answer.id, answer.step, answer.leaving) == ("r", 1, False)
    assert verify(Path(answer.path)).request == "r"


def test_the_writer_lets_the_training_go_first(tmp_path: Path) -> None:
    """Woken by what it is handed, it must not take the core from who handed it over."""
    _, checkpointer = make(tmp_path)
    checkpointer.save(0)
    assert {os.sched_getscheduler(pid) for pid in writers()} == {os.SCHED_BATCH}


def test_a_folder_that_the_ranks_do_not_share_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    elsewhere = (MarkedFile("tensors-rank-1.safetensors", 10),)
    plan = SavePlan(str(tmp_path), temp_name(1, "x"), 1, 0, others=elsewhere)
    assert "file system that they share" in carry_out(plan, memoryview(b"")).error
    assert list(tmp_path.iterdir()) == []


def test_files_are_plain_safetensors_that_others_read(tmp_path: Path) -> None:
    model, checkpointer = make(tmp_path)
    with safe_open(checkpointer.save(1) / "tensors.safetensors", framework="np") as file:
        assert file.metadata() == {"format": "pt"}
        assert (file.get_tensor("model.0.weight") == next(model.parameters()).detach().numpy()).all()
