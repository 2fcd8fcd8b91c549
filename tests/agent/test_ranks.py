"""A training in several processes: saved whole, taken up exactly, left together, loaded by another number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers.forking import Zygote, ended, zygote_of

import outlast
from outlast import trainer_contract as contract
from outlast.checkpoint_files import steps, verify
from outlast.training import CheckpointError

SCRIPT = Path(__file__).with_name("ranks_script.py")


# What all of them load, at the latest when they make an optimizer or shard a model.
IMPORTS = """
import torch._dynamo, torch.distributed.checkpoint, torch.distributed.device_mesh
import torch.distributed.fsdp, torch.nn.parallel, torch.utils.data
import outlast.checkpointer
"""


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with zygote_of(IMPORTS, tmp_path_factory.mktemp("zygote")) as one:
        yield one


def run(
    zygote: Zygote, case: str, folder: Path, launch: str, *, world: int = 2, stop: int = 8,
    at: int | None = None,
) -> list[int]:  # fmt: skip
    """Exit codes by rank. The control files of the agent lie in the folder, too."""
    files = {name: str(folder / file) for name, file in contract.FILE_NAMES.items()}
    last = [] if at is None else [str(at)]
    logs = [folder / f"log-{launch}-{rank}" for rank in range(world)]
    pids = [
        zygote.fork(
            [str(SCRIPT), case, str(rank), str(world), str(folder), launch, str(stop), *last],
            files, folder, log,
        )
        for rank, log in enumerate(logs)
    ]  # fmt: skip
    codes = [ended(pid, log) for pid, log in zip(pids, logs, strict=True)]
    assert set(codes) <= {0, -9}, "\n".join(log.read_text() for log in logs)
    return codes


def results(folder: Path, world: int = 2) -> list[dict[str, Any]]:
    return [json.loads((folder / f"result-{rank}.json").read_bytes()) for rank in range(world)]


def without_begin(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in one.items() if name != "begun"} for one in told]


@pytest.mark.slow
def test_replicas_leave_at_the_same_step_when_one_is_told_and_go_on_exactly(
    tmp_path: Path, zygote: Zygote
) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    straight.mkdir()
    stopped.mkdir()
    assert run(zygote, "ddp", straight, "one") == [0, 0]
    assert run(zygote, "ddp", stopped, "one", at=3) == [0, 0]
    answer = contract.read_answer((stopped / contract.FILE_NAMES[contract.SAVE_ANSWER]).read_bytes())
    assert (answer.step, answer.leaving) == (3, True)
    verify(Path(answer.path), hashes=True)
    assert not list(stopped.glob("result-*")), "both have left"
    (stopped / contract.FILE_NAMES[contract.SAVE_REQUEST]).unlink()
    assert run(zygote, "ddp", stopped, "two") == [0, 0]
    assert [one["begun"] for one in results(stopped)] == [4, 4]
    ends = without_begin(results(stopped))
    assert ends[0]["random"] != ends[1]["random"], "each rank has randomness of its own"
    assert [one["random"] for one in ends] == [one["random"] for one in results(straight)]
    assert [one["digest"] for one in ends] == [one["digest"] for one in results(straight)]
    assert ends[0]["seen"] == results(straight)[0]["seen"]


@pytest.mark.slow
def test_shards_are_saved_by_every_rank_and_another_number_of_ranks_loads_them(
    tmp_path: Path, zygote: Zygote
) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    straight.mkdir()
    killed.mkdir()
    assert run(zygote, "fsdp", straight, "one") == [0, 0]
    assert run(zygote, "fsdp", killed, "one", at=3) == [-9, -9]
    folder = killed / "c" / "step-000000003"
    names = {file.path for file in verify(folder, hashes=True).files}
    assert names >= {"tensors-rank-0.safetensors", "tensors-rank-1.safetensors", "shards.json"}
    assert run(zygote, "fsdp", killed, "two") == [0, 0]
    assert [one["begun"] for one in results(killed)] == [4, 4]
    ends = without_begin(results(killed))
    assert [one["digest"] for one in ends] == [one["digest"] for one in results(straight)]
    assert [one["random"] for one in ends] == [one["random"] for one in results(straight)]
    newest = max(steps(killed / "c"))
    assert run(zygote, "fsdp", killed, "three", world=1, stop=newest + 1) == [0]
    alone = results(killed, 1)[0]
    assert alone["begun"] == newest + 1
    assert alone["digest"] == ends[0]["digest"]


def test_several_processes_without_torch_distributed_are_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(CheckpointError, match="init_process_group"):
        outlast.Checkpointer(dir=tmp_path)
