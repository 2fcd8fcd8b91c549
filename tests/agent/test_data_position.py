"""Where a training is in its data: the same batches follow wherever it was saved, with workers or without."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch

import outlast
from outlast import trainer_contract as contract
from outlast.training import CheckpointError


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


@pytest.mark.parametrize(("own", "workers"), [(True, 0), (True, 1), (False, 1)])
def test_the_order_of_the_data_is_the_same_wherever_it_was_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, own: bool, workers: int
) -> None:
    """Workers that outlive a pass have their seed from the first one of a process, and draw none later."""

    def passes(checkpointer: outlast.Checkpointer, count: int) -> Any:
        torch.manual_seed(5)
        generator = torch.Generator().manual_seed(3) if own else None
        loader: Any = torch.utils.data.DataLoader(
            cast(Any, torch.arange(12)), 2, shuffle=True, num_workers=workers,
            persistent_workers=bool(workers), generator=generator,
        )  # fmt: skip
        start = checkpointer.restore()
        while checkpointer.epoch < count:
            for batch in checkpointer.batches(loader):
                yield start, batch.tolist()
                start += 1
            if start == 6:
                checkpointer.save(5)  # between two passes

    checkpointer = outlast.Checkpointer(dir=tmp_path, every=None, keep=9)
    order = []
    for number, batch in passes(checkpointer, 3):
        order.append(batch)
        if number in (8, 11):  # in a pass, and with the last batch of one
            checkpointer.save(number)
    for number in (11, 8, 5):
        again = outlast.Checkpointer(dir=tmp_path, every=None)
        assert [batch for _, batch in passes(again, 3)] == order[number + 1 :]
        shutil.rmtree(tmp_path / f"step-{number:09d}")
    assert ("persistent workers start anew" in caplog.text) is bool(workers)


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


def test_a_training_ends_though_the_workers_of_its_data_hold_the_writers_pipe(tmp_path: Path) -> None:
    """Forked after the first save, and alive as long as the script's own names are: until its very end."""
    script = (
        "import sys, torch, outlast\n"
        "c = outlast.Checkpointer(values=[1], dir=sys.argv[1], every=None)\n"
        "c.save(1)\n"
        "data = torch.utils.data.DataLoader(range(4), num_workers=1, persistent_workers=True)\n"
        "print(len(list(data)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr
