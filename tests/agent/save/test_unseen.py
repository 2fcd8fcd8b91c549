"""A training whose saves are not seen, or can't be made, is told of before it is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from outlast.clock import SystemRuntime
from outlast.node_ports import NodeTrouble, SaveLook
from outlast.protocol.messages import CheckpointPlan, Work
from outlast.save.gate import Gate
from outlast.save.saves import FolderSaves
from outlast.save.unseen import FIRST_SAVE_S

NONE_SEEN = "no complete checkpoint was seen"


class Later(SystemRuntime):
    """The real runtime, `later_s` seconds on."""

    later_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.later_s


def work(**plan: object) -> Work:
    return Work(name="w", owner="o", revision=1, run="true", checkpoint=CheckpointPlan(**plan))  # type: ignore[arg-type]


def begun(root: Path, job: Work) -> tuple[Later, FolderSaves]:
    runtime = Later()
    saves = FolderSaves(runtime, Gate(None), lambda _: root, root.parent / "staging", 0.0)
    saves.begin(job, None, "g1")
    return runtime, saves


def test_a_pattern_that_matches_nothing_is_told_once_with_what_is_there(tmp_path: Path) -> None:
    root = tmp_path / "ck"
    runtime, saves = begun(root, work(pattern=("run/*.npz",), every_s=60.0))
    torch.save({}, root / "model_1.pt")
    assert saves.scan(SaveLook()).warnings == ()
    runtime.later_s = 130.0
    (line,) = saves.scan(SaveLook()).warnings
    assert NONE_SEEN in line
    assert f"checkpoint.pattern 'run/*.npz' matches nothing in {root} (it holds model_1.pt); mend it" in line
    assert saves.scan(SaveLook()).warnings == ()


def test_without_a_pattern_it_says_what_lies_there_or_that_nothing_does(tmp_path: Path) -> None:
    for name, words in (("", "it is empty"), ("weights.npz", "name yours with checkpoint.pattern")):
        root = tmp_path / f"ck{name}"
        runtime, saves = begun(root, work())
        if name:
            (root / name).touch()
        runtime.later_s = FIRST_SAVE_S - 5
        assert saves.scan(SaveLook()).warnings == ()
        runtime.later_s = FIRST_SAVE_S + 5
        (line,) = saves.scan(SaveLook()).warnings
        assert words in line


def test_one_that_never_becomes_complete_is_named_with_the_reason(tmp_path: Path) -> None:
    root = tmp_path / "ck"
    runtime, saves = begun(root, work(every_s=60.0))
    (root / "checkpoint-7").mkdir()
    (root / "checkpoint-7" / "config.json").touch()
    runtime.later_s = 130.0
    (line,) = saves.scan(SaveLook()).warnings
    assert f"checkpoint-7 in {root} is not complete: trainer_state.json is not there" in line


@pytest.mark.parametrize("look", [SaveLook(), SaveLook(ended_well=True)])
def test_a_training_that_saves_or_ends_is_not_blamed(tmp_path: Path, look: SaveLook) -> None:
    root = tmp_path / "ck"
    runtime, saves = begun(root, work(every_s=60.0))
    if not look.ended_well:
        torch.save({}, root / "model_1.pt")
        assert saves.scan(SaveLook()).copy is not None or saves.scan(SaveLook()).copy is not None
    runtime.later_s = 130.0
    assert saves.scan(look).warnings == ()


def test_a_folder_that_takes_no_files_is_an_error_before_anything_is_trained(tmp_path: Path) -> None:
    in_the_way = tmp_path / "ck"
    in_the_way.touch()
    for root, why in ((in_the_way, "File exists"), (Path("/proc/self/task"), "")):
        with pytest.raises(NodeTrouble, match=f"the checkpoint folder {root} can't be used: .*{why}"):
            begun(root, work())
