"""The watcher tells each complete checkpoint once, and never one that is still being written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.agent.save.files import hugging_face, steps_of

from outlast.checkpoint_files import write
from outlast.protocol.messages import CheckpointPlan
from outlast.protocol.objects import Confidence
from outlast.save.watch import Watcher

ME = (os.getpid(),)
PLAN = CheckpointPlan()


def watcher(root: Path) -> Watcher:
    return Watcher(PLAN, root, quiet_s=5.0)


def look_twice(eyes: Watcher, now_s: float = 0.0) -> list[int]:
    """Two looks with the quiet time between them."""
    return steps_of(eyes.scan(now_s, ME)) + steps_of(eyes.scan(now_s + 6, ME))


@pytest.mark.parametrize("until", ["config.json", "model.safetensors", "optimizer.pt", "rng_state.pth"])
def test_a_trainers_folder_without_its_last_file_is_never_taken(tmp_path: Path, until: str) -> None:
    hugging_face(tmp_path, 5, until=until)
    eyes = watcher(tmp_path)
    for now_s in (0.0, 10.0, 1000.0):
        assert eyes.scan(now_s, ME) == []
    assert "written last" in eyes.waiting["checkpoint-5"]
    assert eyes.scan(2000.0, (), exited_badly=True) == []
    assert "checkpoint-5" in eyes.complaints()[0]


def test_a_trainers_folder_is_told_once_when_it_is_quiet(tmp_path: Path) -> None:
    hugging_face(tmp_path, 5)
    eyes = watcher(tmp_path)
    assert eyes.scan(0.0, ME) == []
    assert eyes.scan(4.9, ME) == []
    (found,) = eyes.scan(5.0, ME)
    assert (found.step, found.kind, found.confidence) == (5, "huggingface", Confidence.STRONG)
    assert eyes.scan(50.0, ME) == []
    (tmp_path / "checkpoint-5" / "note.txt").write_text("a note added later makes no new checkpoint")
    assert look_twice(eyes, 100.0) == []


def test_the_marker_must_name_the_folders_step_and_parse(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path, 5)
    eyes = watcher(tmp_path)
    (folder / "trainer_state.json").write_text('{"global_step": 4}')
    assert look_twice(eyes) == []
    (folder / "trainer_state.json").write_text('{"global_st')
    assert look_twice(eyes, 20.0) == []
    (folder / "trainer_state.json").write_text('{"global_step": 5}')
    assert look_twice(eyes, 40.0) == [5]


def test_the_sentinel_a_missing_shard_and_a_missing_rank_each_hold_it_back(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path, 5)
    eyes = watcher(tmp_path)
    sentinel = folder / "checkpoint-is-incomplete.txt"
    sentinel.touch()
    assert look_twice(eyes) == []
    sentinel.unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "model-00001-of-00001.safetensors"}}))
    assert look_twice(eyes, 20.0) == []
    index.unlink()
    (folder / "rng_state_1.pth").write_bytes((folder / "rng_state.pth").read_bytes())
    assert look_twice(eyes, 40.0) == []
    assert "rng_state_0" in eyes.waiting["checkpoint-5"]
    (folder / "rng_state_0.pth").write_bytes((folder / "rng_state.pth").read_bytes())
    assert look_twice(eyes, 60.0) == [5]


def test_a_torn_archive_or_safetensors_file_holds_it_back(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path, 5)
    for name in ("optimizer.pt", "model.safetensors"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-7])
        eyes = watcher(tmp_path)
        assert look_twice(eyes) == []
        assert name in eyes.waiting["checkpoint-5"]
        (folder / name).write_bytes(whole)
    assert look_twice(watcher(tmp_path)) == [5]


def test_our_own_folder_needs_no_quiet_and_counts_after_a_crash(tmp_path: Path) -> None:
    write(tmp_path, 7, lambda folder: torch.save({}, folder / "a.pt"))
    eyes = watcher(tmp_path)
    assert steps_of(eyes.scan(0.0, (), exited_badly=True)) == [7]
    assert eyes.scan(1.0, ()) == []
    folder = write(tmp_path, 8, lambda folder: torch.save({}, folder / "a.pt"))
    (folder / "a.pt").unlink()
    assert eyes.scan(2.0, ME) == []
    assert eyes.complaints() == (), "it may just be being deleted"
    assert eyes.scan(3.0, ME) == []
    assert "a.pt has no bytes" in eyes.complaints()[0]


def test_the_generic_rule_confirms_nothing_new_after_a_crash_and_needs_one_look_after_an_end(
    tmp_path: Path,
) -> None:
    torch.save({}, tmp_path / "model_step10.pt")
    eyes = watcher(tmp_path)
    assert eyes.scan(0.0, (), exited_badly=True) == []
    assert "ended badly" in eyes.complaints()[0]
    (found,) = eyes.scan(1.0, (), ended_well=True)
    assert (found.step, found.confidence) == (10, Confidence.HEURISTIC)


def test_a_file_that_is_open_for_writing_is_not_complete_however_quiet(tmp_path: Path) -> None:
    eyes = watcher(tmp_path)
    with (tmp_path / "model_10.pt").open("wb") as file:
        torch.save({}, file)
        file.flush()
        assert look_twice(eyes) == []
        assert "open for writing" in eyes.waiting["the files of 10"]
    with (tmp_path / "model_10.pt").open("rb"):
        assert look_twice(eyes, 20.0) == [10]


class Tree:
    """Counts how often somebody goes through the trainer's processes."""

    walks = 0

    def __iter__(self) -> Iterator[int]:
        self.walks += 1
        return iter(ME)


def test_the_trainers_processes_are_gone_through_only_for_a_save_that_is_quiet(tmp_path: Path) -> None:
    eyes, tree = watcher(tmp_path), Tree()
    for now_s in (0.0, 0.5, 1.0):
        assert eyes.scan(now_s, tree) == []
    (tmp_path / "step_5.bin").write_bytes(b"x" * 100)
    with (tmp_path / "step_5.bin").open("ab"):
        assert eyes.scan(2.0, tree) == []
        assert tree.walks == 0
        assert eyes.scan(8.0, tree) == []
    assert steps_of(eyes.scan(9.0, tree)) == [5]
    assert tree.walks == 2
    eyes.scan(10.0, tree)
    assert tree.walks == 2


def test_slow_growth_is_not_quiet(tmp_path: Path) -> None:
    folder = tmp_path / "step_3"
    folder.mkdir()
    eyes = watcher(tmp_path)
    for number in range(6):
        torch.save({}, folder / f"part{number}.pt")
        assert eyes.scan(number * 4.0, ME) == []
    assert steps_of(eyes.scan(26.0, ME)) == [3]


def test_files_of_one_step_belong_together_and_the_same_names_must_be_there_again(tmp_path: Path) -> None:
    eyes = watcher(tmp_path)
    for name in ("model_1.pt", "optim_1.pt"):
        torch.save({}, tmp_path / name)
    eyes.scan(0.0, ME)
    (found,) = eyes.scan(6.0, ME)
    assert [file.path for file in found.files] == ["model_1.pt", "optim_1.pt"]
    eyes.committed(found)
    torch.save({}, tmp_path / "model_2.pt")
    assert look_twice(eyes, 10.0) == []
    assert "optim_#.pt" in eyes.waiting["the files of 2"]
    torch.save({}, tmp_path / "optim_2.pt")
    assert look_twice(eyes, 30.0) == [2]


def test_a_file_overwritten_in_place_is_another_checkpoint_each_time(tmp_path: Path) -> None:
    eyes = watcher(tmp_path)
    torch.save({"a": 1}, tmp_path / "last.pt")
    eyes.scan(0.0, ME, step_hint=40)
    assert steps_of(eyes.scan(6.0, ME, step_hint=41)) == [41]
    torch.save({"a": torch.zeros(9)}, tmp_path / "last.pt")
    assert eyes.scan(10.0, ME, step_hint=50) == []
    assert steps_of(eyes.scan(16.0, ME, step_hint=50)) == [50]


def test_beside_numbered_saves_a_best_or_final_model_is_not_taken(tmp_path: Path) -> None:
    hugging_face(tmp_path, 5)
    torch.save({}, tmp_path / "best.pt")
    eyes = watcher(tmp_path)
    assert look_twice(eyes) == [5]
    shutil.rmtree(tmp_path / "checkpoint-5")
    torch.save({"x": 1}, tmp_path / "best.pt")
    assert look_twice(eyes, 20.0) == []


def test_what_lay_there_before_is_not_new_and_links_are_not_taken_twice(tmp_path: Path) -> None:
    hugging_face(tmp_path, 5)
    eyes = watcher(tmp_path)
    eyes.begin()
    assert look_twice(eyes) == []
    real = hugging_face(tmp_path / "elsewhere", 6)
    (tmp_path / "checkpoint-6").symlink_to(real)
    (tmp_path / "checkpoint-99").symlink_to(tmp_path / "checkpoint-5")
    (tmp_path / "checkpoint-98").symlink_to(tmp_path / "nowhere")
    (real / "loop").symlink_to(real)
    assert look_twice(eyes, 20.0) == [6]


def test_rotation_under_the_eyes_and_a_missing_folder_are_no_errors(tmp_path: Path) -> None:
    eyes = watcher(tmp_path / "not-yet")
    assert eyes.scan(0.0, ME) == []
    folder = hugging_face(tmp_path / "not-yet", 5)
    eyes.scan(1.0, ME)
    shutil.rmtree(folder)
    assert eyes.scan(7.0, ME) == []
    hugging_face(tmp_path / "not-yet", 5)
    assert eyes.scan(8.0, ME) == [], "its quiet time begins anew"
    assert steps_of(eyes.scan(14.0, ME)) == [5]


def test_a_copy_that_failed_can_be_found_again(tmp_path: Path) -> None:
    hugging_face(tmp_path, 5)
    eyes = watcher(tmp_path)
    eyes.scan(0.0, ME)
    (found,) = eyes.scan(6.0, ME)
    eyes.forget(found)
    assert steps_of(eyes.scan(7.0, ME)) == [5]


def test_an_odd_size_only_warns(tmp_path: Path) -> None:
    eyes = watcher(tmp_path)
    eyes.know(1, "torch-folder:step_1", ["model.pt"], size_bytes=10)
    (tmp_path / "step_2").mkdir()
    torch.save({"x": torch.zeros(1000)}, tmp_path / "step_2" / "model.pt")
    eyes.scan(0.0, ME)
    (found,) = eyes.scan(6.0, ME)
    assert "times those of the one before" in found.why


def test_a_folder_comes_back_under_its_own_name(tmp_path: Path) -> None:
    eyes = watcher(tmp_path)
    assert eyes.resume_path(5, "huggingface") == tmp_path / "checkpoint-5"
    assert eyes.resume_path(5, "outlast") == tmp_path / "step-000000005"
    assert eyes.resume_path(5, "torch-folder:epoch_3") == tmp_path / "epoch_3"
    assert eyes.resume_path(5, "torch-folder:../../etc") == tmp_path / "step-5"
    assert eyes.resume_from(5, "torch-files", ["last.pt"]) == tmp_path / "last.pt"
    assert eyes.resume_from(5, "torch-files", ["a.pt", "b.pt"]) == tmp_path


def test_a_save_that_was_told_too_early_is_told_again_as_grown_and_one_written_over_is_not(
    tmp_path: Path,
) -> None:
    eyes = watcher(tmp_path)
    (tmp_path / "step_4").mkdir()
    grown = []
    for number, name in enumerate(("a.pt", "b.pt", "b.pt")):
        torch.save({"x": torch.full((3,), number)}, tmp_path / "step_4" / name)
        eyes.scan(20.0 * number, ME)
        grown += [one.grown for one in eyes.scan(20.0 * number + 6.0, ME)]
    assert grown == [False, True, False]


def test_a_step_that_nobody_wrote_into_a_name_is_told_to_be_a_guess(tmp_path: Path) -> None:
    eyes = watcher(tmp_path)
    torch.save({"x": torch.zeros(3)}, tmp_path / "last.pt")
    eyes.scan(0.0, ME)
    (guessed,) = eyes.scan(6.0, ME)
    assert not guessed.numbered
    torch.save({"x": torch.zeros(3)}, tmp_path / "model_step_4.pt")
    eyes.scan(10.0, ME)
    (found,) = eyes.scan(16.0, ME)
    assert (found.step, found.numbered) == (4, True)
