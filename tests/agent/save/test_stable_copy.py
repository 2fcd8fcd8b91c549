"""What the uploader reads can't change any more, or is given up; a full disk leaves nothing behind."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.agent.save.files import hugging_face

from outlast.bucket.manifest import hash_bytes
from outlast.checkpoint_files import write
from outlast.protocol.messages import CheckpointPlan
from outlast.save.found import Found
from outlast.save.marker import MARKER, marker_bytes, read_marker
from outlast.save.sources import SourceChanged
from outlast.save.stable_copy import Changed, NoCopy, clear_staging, guarded, stable_copy
from outlast.save.types import StableCopy
from outlast.save.watch import Watcher


def find(root: Path) -> Found:
    eyes = Watcher(CheckpointPlan(), root, quiet_s=5.0)
    found = eyes.scan(0.0, ()) + eyes.scan(9.0, ())
    assert len(found) == 1, eyes.waiting
    return found[0]


def bytes_of(copy: StableCopy) -> dict[str, bytes]:
    return {file.path: bytes(file.source.read(0, file.source.size)) for file in copy.files}


def made(result: StableCopy | Changed | NoCopy) -> StableCopy:
    assert isinstance(result, StableCopy), result
    return result


def test_the_copy_survives_rotation_and_torch_save_over_the_same_file(tmp_path: Path) -> None:
    """The hard-link trap: torch.save truncates in place, so a link would share the torn inode."""
    file = tmp_path / "c" / "last.pt"
    file.parent.mkdir()
    torch.save({"x": torch.ones(5)}, file)
    before = file.read_bytes()
    copy = made(stable_copy(find(file.parent), tmp_path / "staging", "n1"))
    inode = file.stat().st_ino
    torch.save({"x": torch.zeros(50)}, file)
    assert file.stat().st_ino == inode, "it is overwritten in place"
    assert bytes_of(copy) == {"last.pt": before}
    file.unlink()
    assert bytes_of(copy) == {"last.pt": before}
    copy.drop()
    copy.drop()
    assert list((tmp_path / "staging").iterdir()) == []


def test_the_hashes_that_our_own_writer_noted_come_along(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", 3, lambda into: torch.save({}, into / "a.pt"))
    marker = read_marker((folder / MARKER).read_bytes())
    noted = hash_bytes((folder / "a.pt").read_bytes())
    with_hashes = replace(marker, files=tuple(replace(file, hash=noted) for file in marker.files))
    (folder / MARKER).write_bytes(marker_bytes(with_hashes))
    for copy in (
        made(stable_copy(find(tmp_path / "c"), tmp_path / "staging", "n1")),
        made(guarded(find(tmp_path / "c"))),
    ):
        assert {file.path: file.hash for file in copy.files} == {"a.pt": noted, MARKER: ""}
        copy.drop()


def test_our_own_folder_is_linked_and_survives_its_deletion(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", 3, lambda into: torch.save({}, into / "a.pt"))
    copy = made(stable_copy(find(tmp_path / "c"), tmp_path / "staging", "n1", free=lambda _: 0))
    staged = next((tmp_path / "staging").rglob("a.pt"))
    assert staged.stat().st_ino == (folder / "a.pt").stat().st_ino, "no byte was copied"
    again = made(stable_copy(find(tmp_path / "c"), tmp_path / "staging", "n2"))
    before = (folder / "a.pt").read_bytes()
    for path in folder.iterdir():
        path.unlink()
    assert bytes_of(copy)["a.pt"] == bytes_of(again)["a.pt"] == before


def test_links_that_come_and_go_between_our_own_saves_are_no_change(tmp_path: Path) -> None:
    """`Checkpointer` links what did not change from save to save: the count may be the same again."""
    folder = write(tmp_path / "c", 3, lambda into: torch.save({}, into / "a.pt"))
    (tmp_path / "first").hardlink_to(folder / "a.pt")
    found = find(tmp_path / "c")
    (tmp_path / "second").hardlink_to(folder / "a.pt")
    (tmp_path / "first").unlink()
    copy = guarded(found)
    assert isinstance(copy, StableCopy), copy
    assert bytes_of(copy)["a.pt"] == (folder / "a.pt").read_bytes()
    copy.drop()


def test_a_checkpoint_that_changed_since_it_was_found_is_discarded(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "c", 5)
    found = find(tmp_path / "c")
    changes: tuple[Callable[[], object], ...] = (
        lambda: torch.save({"y": 1}, folder / "optimizer.pt"),
        lambda: os.utime(folder / "config.json", ns=(1, 1)),
        lambda: (folder / "rng_state.pth").unlink(),
    )
    for index, change in enumerate(changes):
        change()
        result = stable_copy(found, tmp_path / "staging", f"n{index}")
        assert isinstance(result, Changed), result
        assert list((tmp_path / "staging").iterdir()) == []
        assert isinstance(guarded(found), Changed)


def test_a_write_that_hides_behind_an_old_mtime_is_seen_by_its_ctime(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "c", 5)
    found = find(tmp_path / "c")
    file = folder / "config.json"
    info = file.stat()
    file.write_text("[]")
    os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert isinstance(stable_copy(found, tmp_path / "staging", "n"), Changed)


def test_no_room_beside_the_trainers_next_save_is_no_space_and_guarding_does_without(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "c", 5)
    found = find(tmp_path / "c")
    result = stable_copy(found, tmp_path / "staging", "n", free=lambda _: found.bytes + 10)
    assert isinstance(result, NoCopy)
    assert "no room" in result.why
    assert list((tmp_path / "staging").iterdir()) == []
    copy = made(guarded(found))
    source = copy.files[0].source
    (folder / copy.files[0].path).unlink()  # a rotation takes nothing away
    assert source.read(0, source.size) == b"{}"
    torch.save({"y": 1}, folder / "optimizer.pt")
    changed = next(file.source for file in copy.files if file.path == "optimizer.pt")
    with pytest.raises(SourceChanged):
        changed.read(0, changed.size)
    copy.drop()
    copy.drop()


def test_a_staging_folder_that_fails_otherwise_is_no_reason_to_lose_the_save(tmp_path: Path) -> None:
    hugging_face(tmp_path / "c", 5)
    (tmp_path / "staging").write_text("not a folder")
    result = stable_copy(find(tmp_path / "c"), tmp_path / "staging", "n")
    assert isinstance(result, NoCopy)
    assert "could not be copied" in result.why


def test_the_kernels_own_refusal_to_write_is_no_space_too_and_leaves_nothing(tmp_path: Path) -> None:
    hugging_face(tmp_path / "c", 5)
    script = (
        "import resource, signal, sys, pathlib\n"
        "from outlast.save.stable_copy import stable_copy\n"
        "from tests.agent.save.test_stable_copy import find\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "base = pathlib.Path(sys.argv[1])\n"
        "found = find(base / 'c')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "print(type(stable_copy(found, base / 'staging', 'n')).__name__)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=Path(__file__).parents[3], check=False, timeout=60, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "NoCopy", done.stderr
    assert list((tmp_path / "staging").iterdir()) == []


def test_links_are_followed_and_staging_of_an_earlier_process_is_cleared(tmp_path: Path) -> None:
    real = tmp_path / "real.pt"
    torch.save({}, real)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "model_4.pt").symlink_to(real)
    copy = made(stable_copy(find(tmp_path / "c"), tmp_path / "staging", "n"))
    assert bytes_of(copy) == {"model_4.pt": real.read_bytes()}
    clear_staging(tmp_path / "staging")
    assert not (tmp_path / "staging").exists()
    with pytest.raises(OSError, match="No such file"):
        copy.files[0].source.read(0, 1)


@pytest.mark.parametrize(
    "take", [lambda found, to: stable_copy(found, to, "n1"), lambda found, _: guarded(found)]
)
def test_a_copy_knows_when_the_trainer_began_to_write_it(
    tmp_path: Path, take: Callable[[Found, Path], StableCopy | Changed | NoCopy]
) -> None:
    folder = hugging_face(tmp_path / "c", 10)
    os.utime(folder / "model.safetensors", (1_000.0, 1_000.0))
    copy = made(take(find(tmp_path / "c"), tmp_path / "staging"))
    assert copy.begun_at == 1_000.0
    copy.drop()
