"""A checkpoint folder that is a link to another disk: nothing can be renamed from one to the other."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.agent.restoring import Place

from outlast.node.home import Home
from outlast.node.logs import FileLog
from outlast.node.setup import NodeWorkplace
from outlast.protocol.messages import CheckpointPlan, Work
from outlast.restore import restore_chain
from outlast.save.tidy import Keep, tidy_before_start
from outlast.save.watch import Watcher

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    if os.stat(tmp_path).st_dev == SHARED_MEMORY.stat().st_dev:
        pytest.skip("all of it is one disk")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        yield Path(folder)


def test_a_checkpoint_comes_back_and_what_is_in_its_way_is_moved(tmp_path: Path, elsewhere: Path) -> None:
    home = Home(tmp_path / "home", tmp_path)
    home.prepare()
    place = Place(tmp_path)
    root = tmp_path / "checkpoints"
    root.symlink_to(elsewhere)
    workplace = NodeWorkplace(home, place.bucket, FileLog(home.logs))
    work = Work("n", "o", 1, "true")
    workplace.prepare(work, lambda: False)
    done = restore_chain(
        place.runtime, place.bucket, place.pointer(), workplace.sink(work), lambda *_: None
    )  # fmt: skip
    assert done is not None
    resume = Path(workplace.resume_from(work, done.manifest))
    assert {
        str(p.relative_to(resume)): p.read_bytes() for p in resume.rglob("*") if p.is_file()
    } == place.content(30)
    keep = Keep(30, done.manifest.kind, frozenset(place.content(30)))
    tidy_before_start(root, keep, "g1")
    (root / "step_40").mkdir()
    torch.save({}, root / "step_40" / "m.pt")
    assert len(tidy_before_start(root, keep, "g2")) == 1
    assert (root / ".outlast-aside" / "g2" / "step_40" / "m.pt").exists()
    assert Watcher(CheckpointPlan(pattern=("**/step_*",)), root).candidates() == [], "it is out of sight"
    assert tidy_before_start(root, keep, "g3", ("**/step_*",)) == []
