"""Before a trainer starts, nothing that it must not resume from is in its sight, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tests.agent.save.files import hugging_face

from outlast.checkpoint_files import write
from outlast.save.tidy import LABELS_KEPT, Keep, tidy_before_start

HF10 = Keep(10, "huggingface", frozenset({"model.safetensors"}))


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


def started(root: Path) -> Path:
    """A folder in which a first trainer was already started, empty then."""
    root.mkdir()
    tidy_before_start(root, None, "first")
    return root


def test_torn_and_newer_saves_are_moved_so_that_the_highest_number_is_the_right_one(tmp_path: Path) -> None:
    root = started(tmp_path / "c")
    for step in (5, 10, 15):
        hugging_face(root, step)
    hugging_face(root, 7, until="optimizer.pt")
    hugging_face(root, 20, until="model.safetensors")
    (root / ".saving-step-000000021-99").mkdir()
    (root / "model.pt.tmp").touch()
    (root / "runs").mkdir()
    lines = tidy_before_start(root, HF10, "g3")
    assert names(root) == {"checkpoint-5", "checkpoint-10", "runs"}
    from transformers.trainer_utils import get_last_checkpoint  # takes seconds: not in every worker

    last: Any = get_last_checkpoint(str(root))  # type: ignore[no-untyped-call]
    assert last.endswith("checkpoint-10")
    aside = names(tmp_path / "c.aside" / "g3")
    assert {"checkpoint-7", "checkpoint-15", "checkpoint-20", "model.pt.tmp"} <= aside
    assert len(lines) == 5
    assert tidy_before_start(root, HF10, "g3") == [], "safe to repeat"


def test_a_save_killed_when_only_its_model_card_was_there_goes_as_well(tmp_path: Path) -> None:
    """PEFT writes README.md first, and the Trainer resumes from the highest number."""
    root = tmp_path / "c"
    for name in ("checkpoint-30", "notes-40"):
        (root / name).mkdir(parents=True)
        (root / name / "README.md").touch()
    tidy_before_start(root, None, "first")
    hugging_face(root, 10)
    for name in ("checkpoint-20", "global_step20"):
        (root / name).mkdir()
        (root / name / "README.md").touch()
    assert tidy_before_start(root, HF10, "g2", ("checkpoint-10",)) == [], (
        "somebody's own: no pattern names it"
    )
    lines = tidy_before_start(root, HF10, "g2")
    assert len(lines) == 2
    assert "killed as it began" in lines[0]
    assert names(root) == {"checkpoint-10", "checkpoint-30", "notes-40"}, "what came with the code stays"


def test_a_fresh_start_moves_all_saves_but_not_what_came_with_the_code(tmp_path: Path) -> None:
    root = tmp_path / "c"
    root.mkdir()
    torch.save({}, root / "base.pt")
    hugging_face(root, 3)
    assert tidy_before_start(root, None, "g1") == []
    hugging_face(root, 8)
    torch.save({}, root / "model_9.pt")
    assert len(tidy_before_start(root, None, "g2")) == 2
    assert names(root) == {"base.pt", "checkpoint-3"}


def test_the_restored_one_never_counts_as_having_come_with_the_code(tmp_path: Path) -> None:
    root = tmp_path / "c"
    hugging_face(root, 10)
    tidy_before_start(root, HF10, "g1")
    assert names(root) == {"checkpoint-10"}
    earlier = Keep(5, "huggingface", frozenset())
    tidy_before_start(root, earlier, "g2")
    assert names(root) == set(), "after a roll-back to 5 it is not older than what is resumed from"


def test_plain_files_of_the_restored_checkpoint_stay_and_others_of_a_crash_go(tmp_path: Path) -> None:
    root = started(tmp_path / "c")
    for name in ("last.pt", "model_4.pt", "model_9.pt"):
        torch.save({}, root / name)
    tidy_before_start(root, Keep(8, "torch-files", frozenset({"last.pt"})), "g2")
    assert names(root) == {"last.pt"}


def test_of_the_folders_aside_only_the_newest_are_kept(tmp_path: Path) -> None:
    root = started(tmp_path / "c")
    for number in range(5):
        write(root, 50, lambda folder: torch.save({}, folder / "a.pt"))
        tidy_before_start(root, None, f"g{number}")
    labels = [path for path in (tmp_path / "c.aside").iterdir() if path.is_dir()]
    assert len(labels) == LABELS_KEPT
    assert (tmp_path / "c.aside" / "g4" / "step-000000050").is_dir()


def test_a_folder_that_is_not_there_is_tidy(tmp_path: Path) -> None:
    assert tidy_before_start(tmp_path / "none", None, "g1") == []
