"""Keeping an environment: behind checkpoints, safe to cut off, and never twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.bucket import MemoryBucket
from tests.fakes.still import StillRuntime

from outlast.bucket.environments import Record, others, prune, read_record, write_record
from outlast.environment import keep as keeping
from outlast.environment.keep import Keeping, Made, check_size
from outlast.environment.listing import Item, NotPackable, listing
from outlast.ports import Denied, Unsure, UploadCancelled

MADE = Made("own", "d1", {"version": "3"}, 90.0)
PACK_BYTES = 1000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "made"
    (root / "lib" / "__pycache__").mkdir(parents=True)
    for number in range(10):
        (root / "lib" / f"m{number}.py").write_bytes(bytes([number]) * 400)
        (root / "lib" / "__pycache__" / f"m{number}.pyc").write_bytes(bytes([number]) * 100)
    return root


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


class Flags:
    def __init__(self) -> None:
        self.busy = self.off = False


def keep(
    root: Path, bucket: MemoryBucket, flags: Flags | None = None, runtime: StillRuntime | None = None
) -> Record | None:
    flags = flags or Flags()
    one = Keeping(runtime or StillRuntime(), bucket, lambda: flags.busy, lambda: flags.off, None, PACK_BYTES)
    return one.keep(MADE, root, listing(root), anew=False)


def test_the_record_comes_after_all_its_packs(root: Path, bucket: MemoryBucket) -> None:
    record = keep(root, bucket)
    assert record is not None
    writes = [key for verb, key in bucket.log if verb in ("upload", "create")]
    assert writes[-1] == "env/d1.json"
    assert set(writes[:-1]) == {pack.key for pack in record.packs} == set(bucket.keys("env/d1/"))
    assert read_record(bucket, "own", "d1") == record
    assert record.bytes == 5000
    assert len(record.packs) > 4


def test_a_checkpoint_on_its_way_is_waited_for_between_two_packs(root: Path, bucket: MemoryBucket) -> None:
    flags, runtime = Flags(), StillRuntime()

    def checkpoint(verb: str, key: str) -> None:
        if verb == "upload" and len(bucket.keys("env/")) == 1 and not runtime.slept_s:
            flags.busy = True

    bucket.before = checkpoint
    sleeps: list[int] = []

    class Waiting(StillRuntime):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            sleeps.append(len(bucket.keys("env/")))
            flags.busy = len(sleeps) < 5

    assert keep(root, bucket, flags, Waiting()) is not None
    assert sleeps[:5] == [2] * 5, "nothing is sent meanwhile"


def test_called_off_it_stops_at_once_and_goes_on_where_it_was(root: Path, bucket: MemoryBucket) -> None:
    flags = Flags()
    bucket.before = lambda verb, key: setattr(flags, "off", len(bucket.keys("env/")) >= 2)
    with pytest.raises(UploadCancelled):
        keep(root, bucket, flags)
    sent = bucket.keys("env/")
    assert len(sent) == 3
    assert read_record(bucket, "own", "d1") is None
    bucket.before = lambda verb, key: None
    record = keep(root, bucket)
    assert record is not None
    assert set(sent) < {pack.key for pack in record.packs}, (
        "the packs of the first try are those of the second"
    )


def test_a_bucket_that_is_away_for_a_while_is_tried_again(root: Path, bucket: MemoryBucket) -> None:
    bucket.fail("dropped", "upload", "env/", 3)
    bucket.fail("lost", "upload", "env/")
    bucket.fail("lost", "create", "env/")
    assert keep(root, bucket) is not None
    bucket.fail("dropped", "upload", "env/", keeping.TRIES_MAX)
    with pytest.raises(Unsure):
        keep(root, bucket)


def test_a_bucket_that_refuses_is_not_asked_again(root: Path, bucket: MemoryBucket) -> None:
    bucket.fail("denied", "upload", "env/")
    with pytest.raises(Denied):
        keep(root, bucket)


def test_another_node_was_faster(root: Path, bucket: MemoryBucket) -> None:
    theirs = Record(1, "own", "d1", {}, "2026", 0, 0, 1.0, ())
    write_record(bucket, theirs)
    assert keep(root, bucket) is None
    assert read_record(bucket, "own", "d1") == theirs


def test_a_file_that_changes_meanwhile_ends_it_and_what_python_derives_is_left_out(
    root: Path, bucket: MemoryBucket
) -> None:
    items = listing(root)
    one = Keeping(StillRuntime(), bucket, lambda: False, lambda: False, None, PACK_BYTES)
    (root / "lib" / "__pycache__" / "m3.pyc").write_bytes(b"derived anew")
    (root / "lib" / "__pycache__" / "m4.pyc").unlink()
    record = one.keep(MADE, root, items, anew=False)
    assert record is not None
    assert (record.files, record.bytes) == (18, 4800)
    (root / "lib" / "m5.py").write_bytes(b"changed")
    with pytest.raises(NotPackable, match=r"lib/m5.py changed"):
        one.keep(MADE, root, items, anew=False)


def test_what_is_too_large_is_not_kept() -> None:
    item = Item("a", "f", 0o644, keeping.BYTES_MAX // 2 + 1)
    check_size([item])
    with pytest.raises(NotPackable, match="larger than is kept"):
        check_size([item, item])
    with pytest.raises(NotPackable, match="larger than is kept"):
        check_size([Item("a", "f", 0o644)] * (keeping.FILES_MAX + 1))


def test_pruning_leaves_the_newest_and_every_pack_that_is_named(root: Path, bucket: MemoryBucket) -> None:
    for number in range(3):
        write_record(bucket, Record(1, "own", f"old{number}", {}, f"200{number}", 0, 0, 1.0, ()))
        bucket.create(f"env/old{number}/{number}", b"pack")
    bucket.create("env/unfinished/1", b"on its way to another record")
    record = keep(root, bucket)
    assert record is not None
    bucket.create("env/d1/lost-a-race", b"pack")
    assert prune(bucket, record) == 5
    named = {pack.key for pack in record.packs}
    expected = {*named, "env/d1.json", "env/old2.json", "env/old2/2", "env/unfinished/1"}
    assert set(bucket.keys("env/")) == expected
    assert [other.digest for other in others(bucket, "own", "d1")] == ["old2"]
    deleted = [key for verb, key in bucket.log if verb == "delete"]
    assert deleted.index("env/old0.json") < deleted.index("env/old0/0"), "never a record without its packs"
