"""Each framework's layout: known when whole, never taken before, found by its framework after a restore."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from tests.agent.save.layouts import LAYOUTS, cut, distributed, tensors, write

from outlast.protocol.messages import CheckpointPlan
from outlast.protocol.objects import Confidence
from outlast.save.found import Found
from outlast.save.kinds import ALL, MARKED, MATCHED, kind_named
from outlast.save.tidy import Keep, tidy_before_start
from outlast.save.watch import Watcher

ME = (os.getpid(),)
QUIET_S = 5.0
LONG_S = 100.0  # longer than any patience, the quiet time of the first one included


def watcher(root: Path, *pattern: str) -> Watcher:
    return Watcher(CheckpointPlan(pattern=pattern), root, quiet_s=QUIET_S)


def look(eyes: Watcher, now_s: float = 0.0) -> list[Found]:
    """Two looks with a long quiet time between them."""
    return [*eyes.scan(now_s, ME), *eyes.scan(now_s + LONG_S, ME)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_whole_one_is_known_with_its_step_its_kind_and_how_sure_that_is(
    tmp_path: Path, layout: str
) -> None:
    writes, kind, strong = LAYOUTS[layout]
    write(tmp_path, writes(40))
    (found,) = look(watcher(tmp_path))
    assert (found.step, found.kind.partition(":")[0]) == (40, kind)
    assert found.confidence is (Confidence.STRONG if strong else Confidence.HEURISTIC), found.why
    on_disk = {
        p for p in found.at.rglob("*") if p.is_file() and p.name != "latest_checkpointed_iteration.txt"
    }
    assert {file.at for file in found.files} == on_disk


@pytest.mark.parametrize("layout", [name for name, (_, _, strong) in LAYOUTS.items() if strong])
def test_after_a_kill_at_any_file_it_is_taken_only_when_everything_is_there(
    tmp_path: Path, layout: str
) -> None:
    writes, _, _ = LAYOUTS[layout]
    for number in range(len(writes(40)) + 1):
        root = tmp_path / str(number)
        root.mkdir()
        write(root, writes(40)[:number])
        whole = number == len(writes(40))
        alive = watcher(root)
        assert [one.step for one in look(alive)] == ([40] if whole else []), (number, alive.waiting)
        dead = watcher(root)
        assert [one.step for one in dead.scan(0.0, (), exited_badly=True)] == ([40] if whole else [])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_file_of_it_may_be_missing_or_cut_off(tmp_path: Path, layout: str) -> None:
    """Cut off in the middle, or not there at all, as a copy or a crash leaves it."""
    writes, _, strong = LAYOUTS[layout]
    write(tmp_path / "whole", writes(40))
    names = sorted(p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*") if p.is_file())
    for number, name in enumerate(names):
        root = tmp_path / f"cut-{number}"
        shutil.copytree(tmp_path / "whole", root)
        if name.name.endswith((".json", ".distcp")) and name.name != "trainer_state.json":
            continue  # no mark tells that these are whole; their framework writes a marker after them
        cut(root / name, 0.0 if name.suffix == ".txt" or name.name == "latest" else 0.6)
        assert look(watcher(root)) == [], f"{name} is cut off"
    if strong:
        return
    eyes = watcher(tmp_path / "whole")
    (found,) = look(eyes)
    eyes.committed(found)
    for number, name in enumerate(names):
        root = tmp_path / f"lost-{number}"
        shutil.copytree(tmp_path / "whole", root)
        (root / name).unlink()
        other = watcher(root)
        other.know(40, found.kind, [file.path for file in found.files])
        assert other.scan(0.0, ME) == []
        assert other.scan(QUIET_S * 4, ME) == [], f"{name} is missing"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_comes_back_where_its_framework_looks_for_it_and_newer_ones_are_gone(
    tmp_path: Path, layout: str
) -> None:
    writes, kind, _ = LAYOUTS[layout]
    root = tmp_path / "c"
    root.mkdir()
    tidy_before_start(root, None, "g1")
    write(root, writes(40))
    eyes = watcher(root)
    (found,) = look(eyes)
    paths = {file.path: file.at.read_bytes() for file in found.files}
    write(root, writes(50))
    write(root, writes(60)[:1])
    lines = tidy_before_start(root, Keep(40, found.kind, frozenset(paths)), "g2")
    place = eyes.resume_path(40, found.kind)
    assert {path: (place / path).read_bytes() for path in paths} == paths
    left = {p.name for p in root.iterdir()}
    assert not any("50" in name or "60" in name for name in left), left
    assert lines
    resume = eyes.resume_from(40, found.kind, sorted(paths))
    tracker = kind_named(kind).tracker(40, found.kind)
    if tracker is None:
        assert resume.exists()
    else:
        assert resume == root
        assert (root / tracker.path).read_bytes() == tracker.body
        assert (root / tracker.path).read_text().endswith("40")
    assert [one.step for one in look(watcher(root))] == [40]


def test_a_start_from_nothing_leaves_no_file_that_names_a_checkpoint_that_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "c"
    root.mkdir()
    tidy_before_start(root, None, "g1")
    for layout in ("deepspeed", "megatron"):
        write(root, LAYOUTS[layout][0](40))
    (root / "checkpoint-60").mkdir()  # a Trainer that was killed as it began to save
    tidy_before_start(root, None, "g2")
    assert list(root.iterdir()) == []


def test_a_distributed_checkpoint_written_over_an_older_one_is_not_the_old_marker_beside_new_shards(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "latest"
    distributed(1)(folder)
    eyes = watcher(tmp_path)
    assert [one.kind for one in look(eyes)] == ["dcp:latest"]
    shard = folder / "__0_0.distcp"
    shard.write_bytes(shard.read_bytes())  # as far as a killed save over it came
    assert look(eyes, 1000.0) == []
    assert "over an earlier one" in _why(watcher(tmp_path))
    assert eyes.scan(2000.0, (), exited_badly=True) == []
    distributed(2)(folder)
    assert len(look(eyes, 3000.0)) == 1
    shard.unlink()
    assert "which .metadata names" in _why(watcher(tmp_path))


def _why(eyes: Watcher) -> str:
    assert look(eyes) == []
    return next(iter(eyes.waiting.values()))


def test_lightnings_last_ckpt_says_its_own_step_and_is_taken_before_those_that_are_kept_by_score(
    tmp_path: Path,
) -> None:
    body = {"epoch": 1, "global_step": 30, "pytorch-lightning_version": "2.6", "state_dict": tensors(30)}
    torch.save(body, tmp_path / "epoch=1-step=30.ckpt")
    eyes = watcher(tmp_path)
    assert [one.step for one in look(eyes)] == [30]
    for number, step in enumerate((35, 40)):
        torch.save({**body, "global_step": step}, tmp_path / "last.ckpt")
        (found,) = look(eyes, 1000.0 * (number + 1))
        assert (found.step, [file.path for file in found.files]) == (step, ["last.ckpt"])
        assert eyes.resume_from(step, found.kind, ["last.ckpt"]) == tmp_path / "last.ckpt"
    torch.save({**body, "global_step": 47}, tmp_path / "outlast-step=47.ckpt")  # asked for on a notice
    assert [one.step for one in look(eyes, 5000.0)] == [47], "a final save hides behind an older last.ckpt"
    cut(tmp_path / "last.ckpt", 0.9)
    assert eyes.scan(9000.0, (), exited_badly=True) == []


def test_an_older_file_kept_by_its_score_is_no_new_one_when_last_ckpt_is_torn(tmp_path: Path) -> None:
    eyes = watcher(tmp_path)
    for step, name in ((20, "epoch=0-step=20.ckpt"), (20, "last.ckpt"), (40, "last.ckpt")):
        body = {"global_step": step, "pytorch-lightning_version": "2.6", "state_dict": tensors(step)}
        torch.save(body, tmp_path / name)
    assert [one.step for one in look(eyes)] == [40]
    cut(tmp_path / "last.ckpt", 0.5)  # as a kill in the next save leaves it
    assert look(eyes, 1000.0) == []
    assert eyes.scan(2000.0, (), exited_badly=True) == [], "it would go back to step 20"


@pytest.mark.parametrize(("at", "value"), [(8, 1), (10, 8), (10, 12), (10, 14)])
def test_an_archive_whose_directory_is_half_written_is_no_checkpoint_and_ends_nobody(
    tmp_path: Path, at: int, value: int
) -> None:
    """Its flags ask for a password, or its pickle seems to be packed in one of three ways."""
    path = tmp_path / "last.ckpt"
    write(tmp_path, [("last.ckpt", LAYOUTS["lightning"][0](40)[0][1])])
    body = bytearray(path.read_bytes())
    entry = body.index(b"data.pkl", body.index(b"PK\x01\x02")) - 46 - len("last/")
    assert body[entry : entry + 4] == b"PK\x01\x02"
    body[entry + at] = value
    path.write_bytes(body)
    assert [one.kind for one in look(watcher(tmp_path))] != ["lightning"]


@pytest.mark.parametrize(
    ("name", "files", "kind"),
    [
        ("checkpoint_100", ("model.pt", "optimizer.pt"), "torch-folder:checkpoint_100"),
        (
            "checkpoint-100",
            ("config.json", "optimizer.bin", "random_states_0.pkl"),
            "accelerate:checkpoint-100",
        ),
    ],
)
def test_a_name_that_another_framework_uses_too_hides_no_checkpoint(
    tmp_path: Path, name: str, files: tuple[str, ...], kind: str
) -> None:
    for file in files:
        write(tmp_path, [(f"{name}/{file}", lambda path: torch.save(tensors(1), path))])
    assert watcher(tmp_path).scan(0.0, ME) == []
    assert [(one.step, one.kind) for one in look(watcher(tmp_path))] == [(100, kind)]


def test_a_folder_for_each_run_is_looked_into_and_comes_back_at_its_place(tmp_path: Path) -> None:
    inner = tmp_path / "lightning_logs" / "version_0" / "checkpoints"
    write(inner, LAYOUTS["lightning"][0](40))
    write(tmp_path / "my-run", LAYOUTS["hf-peft"][0](50))
    write(tmp_path / "plots", [("model_9.pt", lambda path: torch.save({}, path))])  # whatever that is
    eyes = watcher(tmp_path)
    first, second = look(eyes)
    assert [file.path for file in first.files] == [
        "lightning_logs/version_0/checkpoints/epoch=0-step=40.ckpt"
    ]
    assert second.kind == "huggingface:my-run/checkpoint-50"
    assert eyes.resume_path(50, second.kind) == tmp_path / "my-run" / "checkpoint-50"
    assert eyes.resume_path(50, "huggingface:../../etc") == tmp_path / "checkpoint-50"


def test_a_pattern_alone_says_what_counts(tmp_path: Path) -> None:
    for name in ("model_1.pt", "out/weights_2.npz", "out/weights_2.json", "out/notes.txt", "out/3.partial"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * 10)
    eyes = watcher(tmp_path, "out/weights_*", "out/*.partial")
    (found,) = look(eyes)
    assert (found.step, found.kind, found.confidence) == (2, "matched-files", Confidence.HEURISTIC)
    assert [file.path for file in found.files] == ["out/weights_2.json", "out/weights_2.npz"]
    (tmp_path / "run_7" / "state").mkdir(parents=True)
    (tmp_path / "run_7" / "state" / "blob").write_bytes(b"y")
    write(tmp_path, LAYOUTS["hf-peft"][0](50))
    folders = watcher(tmp_path, "**/state", "checkpoint-*")
    kinds = {one.kind: one.step for one in look(folders)}
    assert kinds == {"matched-folder:run_7/state": 7, "huggingface": 50}


def test_a_save_without_an_optimizer_is_used_and_a_person_is_told_once(tmp_path: Path) -> None:
    eyes = watcher(tmp_path)
    warnings = []
    for number, step in enumerate((40, 50)):
        writes = [one for one in LAYOUTS["hf-peft"][0](step) if not one[0].endswith("optimizer.pt")]
        write(tmp_path, writes)
        (found,) = look(eyes, 1000.0 * number)
        warnings.append(found.warning)
    assert "no state of the optimizer" in warnings[0]
    assert warnings[1] == ""


def test_every_kind_has_a_name_of_its_own_and_the_strong_ones_come_first() -> None:
    names = [kind.name for kind in (*ALL, *MATCHED)]
    assert len(set(names)) == len(names)
    assert [kind.strong for kind in ALL] == sorted((kind.strong for kind in ALL), reverse=True)
    assert all(kind.strong for kind in MARKED)
    assert all(kind_named(f"{name}:x/y").name == name for name in names)
    assert kind_named("of-a-later-agent").place(3, "of-a-later-agent") == ""
