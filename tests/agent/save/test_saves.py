"""Looking, copying and judging put together, as the agent's loop uses them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from outlast.checkpoint_files import write
from outlast.clock import SystemRuntime
from outlast.node_ports import SaveLook, Saves
from outlast.protocol.messages import Work
from outlast.protocol.objects import Confidence, FileEntry, Manifest
from outlast.save.gate import Gate
from outlast.save.saves import FolderSaves

WORK = Work(name="w", owner="o", revision=1, run="true")
ENDED = SaveLook(ended_well=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def saves(tmp_path: Path, root: Path) -> FolderSaves:
    made = FolderSaves(SystemRuntime(), Gate(sys.executable), lambda work: root, tmp_path / "staging", 0.0)
    as_port: Saves = made  # what the loop expects
    assert as_port.begin(WORK, None, "g1") == ()
    return made


def model(value: float) -> Callable[[Path], None]:
    return lambda folder: save_file({"w": torch.full((4,), value)}, folder / "m.safetensors")


def test_the_newest_is_handed_out_and_each_one_left_out_is_told(root: Path, saves: FolderSaves) -> None:
    for step in (1, 2, 3):
        write(root, step, model(1.0))
    seen = saves.scan(SaveLook())
    assert seen.copy is not None
    assert (seen.copy.step, seen.copy.kind) == (3, "outlast")
    assert len([line for line in seen.discarded if "was replaced by step 3" in line]) == 2
    assert saves.scan(SaveLook()).copy is None


def test_a_save_with_new_nan_is_quarantined_out_of_the_trainers_sight(root: Path, saves: FolderSaves) -> None:
    write(root, 1, model(1.0))
    first = saves.scan(SaveLook()).copy
    assert first is not None
    saves.committed(replace(first, final=True))
    first.drop()
    write(root, 2, model(float("nan")))
    seen = saves.scan(SaveLook())
    assert seen.copy is None
    (refused,) = seen.quarantined
    assert "step 2 is quarantined" in refused.why
    assert (refused.step, refused.begun_at > 0.0) == (2, True)
    assert [path.name for path in root.iterdir()] == ["step-000000001"]
    assert (root.parent / "checkpoints.aside" / "g1-quarantined" / "step-000000002").is_dir()
    assert list((root.parent / "staging").iterdir()) == []


def test_new_nan_is_seen_though_the_first_save_is_not_durable_yet(root: Path, saves: FolderSaves) -> None:
    write(root, 1, model(1.0))
    assert saves.scan(SaveLook()).copy is not None
    write(root, 2, model(float("nan")))
    seen = saves.scan(SaveLook())
    assert seen.copy is None
    assert [one.step for one in seen.quarantined] == [2]


def test_what_is_refused_in_one_look_is_told_in_order_and_an_older_healthy_one_is_used(
    root: Path, saves: FolderSaves
) -> None:
    write(root, 1, model(1.0))
    first = saves.scan(SaveLook()).copy
    assert first is not None
    saves.committed(first)
    for step, value in ((2, 1.0), (3, float("nan")), (4, float("inf"))):
        write(root, step, model(value))
    seen = saves.scan(SaveLook())
    assert seen.copy is not None
    assert seen.copy.step == 2
    assert [one.step for one in seen.quarantined] == [3, 4]


def test_the_first_saves_nan_only_warns(root: Path, saves: FolderSaves) -> None:
    write(root, 1, model(float("nan")))
    seen = saves.scan(SaveLook())
    assert seen.copy is not None
    assert "not finite" in seen.copy.gate
    assert "is used, but" in seen.discarded[0]


def test_a_plain_file_that_is_deleted_after_it_was_handed_out_is_still_there(
    root: Path, saves: FolderSaves
) -> None:
    torch.save({"w": torch.ones(3)}, root / "last.pt")
    body = (root / "last.pt").read_bytes()
    seen = saves.scan(replace(ENDED, step=12))
    assert seen.copy is not None
    shutil.rmtree(root)
    assert seen.copy.step == 12
    assert bytes(seen.copy.files[0].source.read(0, len(body))) == body


def test_before_the_first_begin_and_with_an_unfinished_save_nothing_is_handed_out(
    tmp_path: Path, root: Path, saves: FolderSaves
) -> None:
    idle = FolderSaves(SystemRuntime(), Gate(None), lambda work: root, tmp_path / "other")
    assert idle.scan(SaveLook()).copy is None
    (root / "step_4").mkdir()
    (root / "step_4" / "m.pt").touch()
    seen = saves.scan(SaveLook())
    assert (seen.copy, seen.pending) == (None, True)


class StillRuntime(SystemRuntime):
    """Its time goes on when the test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s


@pytest.mark.parametrize(("world_size", "taken"), [(8, True), (1, False)])
def test_after_a_gangs_checkpoint_a_node_does_not_wait_for_the_files_of_the_others(
    tmp_path: Path, root: Path, world_size: int, taken: bool
) -> None:
    runtime = StillRuntime()
    eyes = FolderSaves(runtime, Gate(sys.executable), lambda work: root, tmp_path / "staging", 5.0)
    entries = tuple(FileEntry(f"shard-{n}.pt", f"k{n}", 1000, f"xxh3-128:{n:032}") for n in range(8))
    name, kind = "000000001-g1-x", "torch-folder:step_1"
    manifest = Manifest(1, "o", "w", 1, "a", name, 1, "", world_size, kind, Confidence.HEURISTIC, entries)
    eyes.begin(WORK, manifest, "g2")
    (root / "step_2").mkdir()
    torch.save({"w": torch.ones(3)}, root / "step_2" / "shard-1.pt")
    eyes.scan(SaveLook())
    runtime.now_s = 6.0
    assert (eyes.scan(SaveLook()).copy is not None) is taken


def test_torch_files_are_examined_by_the_interpreter_of_the_trainer_at_hand(
    tmp_path: Path, root: Path
) -> None:
    """Where a job has an environment, torch is in it and nowhere else."""
    found: list[str | None] = [None]
    saves = FolderSaves(
        SystemRuntime(), Gate(None), lambda work: root, tmp_path / "staging", 0.0, python=lambda: found[0]
    )
    for step, python, text in ((1, None, "no interpreter with torch"), (2, sys.executable, "1 tensors")):
        found[0] = python
        saves.begin(WORK, None, f"g{step}")
        write(root, step, lambda folder: torch.save({"w": torch.ones(3)}, folder / "m.pt"))
        copy = saves.scan(SaveLook()).copy
        assert copy is not None
        assert text in copy.gate
        copy.drop()
