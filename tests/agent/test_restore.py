"""Only verified bytes arrive; what does not verify gives way to its parent, and nothing starts at 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.agent.bucket.make import Attempt, pointer
from tests.fakes.bucket import MemoryBucket
from tests.fakes.still import StillRuntime

from outlast.bucket.client import open_bucket, scoped
from outlast.clock import SystemRuntime
from outlast.ports import Denied, Runtime, Unsure
from outlast.protocol.objects import Pointer, data_prefix
from outlast.restore import FolderSink, NothingRestorable, Restored, prefetch, restore_chain


class Place:
    """A bucket with three checkpoints, and a folder to restore into."""

    def __init__(self, tmp_path: Path) -> None:
        self.bucket = MemoryBucket()
        self.attempt = Attempt(self.bucket)
        self.attempt.claim()
        self.refs = [self.attempt.commit(step, files=self.content(step)) for step in (10, 20, 30)]
        self.staging, self.target = tmp_path / "staging", tmp_path / "checkpoints"
        self.sink = FolderSink(self.staging, lambda manifest: self.target / f"step-{manifest.step}")
        self.facts: list[tuple[str, str]] = []
        self.runtime: Runtime = StillRuntime()

    def content(self, step: int) -> dict[str, bytes]:
        return {"model": b"model %d " % step * 40, "sub/optimizer": b"optimizer %d" % step, "empty": b""}

    def key(self, step_index: int, path: str) -> str:
        return data_prefix(self.refs[step_index].name) + path

    def pointer(self) -> Pointer:
        found = self.attempt.owner.pointer
        assert found is not None
        return found

    def restore(self, found: Pointer | None = None) -> Restored | None:
        return restore_chain(
            self.runtime,
            self.bucket,
            found or self.pointer(),
            self.sink,
            lambda kind, why, data: self.facts.append((kind, why)),
        )

    def restored(self, found: Pointer | None = None) -> Restored:
        outcome = self.restore(found)
        assert outcome is not None
        folder = self.target / f"step-{outcome.ref.step}"
        files = {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
        assert files == self.content(outcome.ref.step)
        assert [entry.name for entry in self.target.iterdir()] == [folder.name]
        return outcome


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_head_arrives_whole(place: Place) -> None:
    outcome = place.restored()
    assert (outcome.ref, outcome.fell_back, outcome.why) == (place.refs[2], False, "the head")
    assert outcome.fetched_bytes == outcome.manifest.bytes
    assert place.facts == []


def test_files_arrive_in_parallel_on_real_threads(place: Place) -> None:
    place.runtime = SystemRuntime()
    assert place.restored().ref == place.refs[2]


def test_nothing_was_ever_saved(place: Place) -> None:
    assert place.restore(pointer(1)) is None


def test_a_pointer_without_a_head_that_keeps_checkpoints_is_no_start_at_zero(place: Place) -> None:
    with pytest.raises(NothingRestorable):
        place.restore(replace(place.pointer(), head=None))


Damage = Callable[[Place], None]
DAMAGES: dict[str, Damage] = {
    "a flipped bit": lambda p: p.bucket.flip_bit(p.key(2, "model")),
    "a missing object": lambda p: p.bucket.delete(p.key(2, "sub/optimizer")),
    "a shorter object": lambda p: p.bucket.put(p.key(2, "model"), b"model"),
    "a longer object": lambda p: p.bucket.put(p.key(2, "empty"), b"not empty"),
    "other bytes of the same size": lambda p: p.bucket.put(p.key(2, "sub/optimizer"), b"optimizer 99"),
    "a flipped bit in the manifest": lambda p: p.bucket.flip_bit(p.refs[2].key),
    "a missing manifest": lambda p: p.bucket.delete(p.refs[2].key),
}


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "a longer object"])
def test_a_head_that_does_not_verify_gives_way_to_its_parent(place: Place, damage: str) -> None:
    DAMAGES[damage](place)
    outcome = place.restored()
    assert (outcome.ref, outcome.fell_back) == (place.refs[1], True)
    assert [kind for kind, _ in place.facts] == ["restore.fell_back"]
    assert place.refs[2].name in place.facts[0][1]
    assert place.refs[1].name in place.facts[0][1]


def test_an_object_that_grew_still_gives_the_very_bytes(place: Place) -> None:
    place.bucket.put(place.key(2, "sub/optimizer"), b"optimizer 30 and more")
    assert place.restored().ref == place.refs[2]


def test_each_fall_back_is_told(place: Place) -> None:
    place.bucket.flip_bit(place.key(2, "model"))
    place.bucket.flip_bit(place.refs[1].key)
    assert place.restored().ref == place.refs[0]
    assert len(place.facts) == 2


def test_when_nothing_verifies_it_stops_and_tells(place: Place) -> None:
    for number in range(3):
        place.bucket.flip_bit(place.key(number, "model"))
    with pytest.raises(NothingRestorable, match="none of 3 checkpoints verifies"):
        place.restore()
    assert not place.target.exists()


def test_what_is_not_kept_is_never_restored(place: Place) -> None:
    place.bucket.flip_bit(place.key(2, "model"))
    found = place.pointer()
    with pytest.raises(NothingRestorable):
        place.restore(replace(found, kept=(place.refs[0], place.refs[2])))
    with pytest.raises(NothingRestorable):
        place.restore(replace(found, kept=(place.refs[2],)))


def test_an_abandoned_branch_is_never_mixed_in(place: Place) -> None:
    """After a roll-back from 30 to 10 the new head's parent is 10, though 20 and 30 are kept and newer."""
    new = Attempt(place.bucket, 2, keep=9)
    place.attempt.owner.release("for the roll-back")
    new.claim(start_from=place.refs[0])
    head = new.commit(15, files=place.content(15))
    place.bucket.flip_bit(data_prefix(head.name) + "model")
    assert new.owner.pointer is not None
    assert place.restored(new.owner.pointer).ref == place.refs[0]


def test_an_unreadable_manifest_gives_way_by_generation_and_never_by_step(place: Place) -> None:
    new = Attempt(place.bucket, 2, keep=9)
    new.claim(place.attempt.closed())
    low = new.commit(5, files=place.content(5))
    head = new.commit(7, files=place.content(7))
    place.bucket.delete(head.key)
    assert new.owner.pointer is not None
    assert place.restored(new.owner.pointer).ref == low


def test_a_bit_that_flipped_on_the_way_costs_no_checkpoint(place: Place) -> None:
    key = place.key(2, "model")
    good = place.bucket.objects[key]
    place.bucket.flip_bit(key)

    def mended(verb: str, asked: str) -> None:
        if verb == "stream" and asked == key and ("stream", key) in place.bucket.log:
            place.bucket.objects[key] = good

    place.bucket.before = mended
    assert place.restored().ref == place.refs[2]
    assert place.facts == []


def test_a_stream_that_breaks_goes_on_where_it_broke(place: Place) -> None:
    place.bucket.fail("dropped", "chunk", place.key(2, "model"), times=5)
    place.bucket.fail("dropped", "stream", place.key(2, "sub"), times=3)
    assert place.restored().ref == place.refs[2]
    assert place.facts == []


def test_a_bucket_out_of_reach_is_no_reason_to_fall_back(place: Place) -> None:
    place.bucket.fail("dropped", "stream", place.key(2, "model"), times=50)
    with pytest.raises(Unsure):
        place.restore()
    place.bucket.faults.clear()
    place.bucket.log.clear()
    assert place.restored().ref == place.refs[2]
    assert place.facts == []
    fetched = {key for verb, key in place.bucket.log if verb == "stream"}
    assert place.key(2, "model") in fetched


def test_a_refusing_bucket_is_no_reason_to_fall_back(place: Place) -> None:
    place.bucket.fail("denied", "get", place.refs[2].key)
    with pytest.raises(Denied):
        place.restore()


# prefetch


def _streams(place: Place) -> list[str]:
    return [key for verb, key in place.bucket.log if verb == "stream"]


def test_what_was_prefetched_is_checked_and_not_fetched_again(place: Place) -> None:
    said = prefetch(place.runtime, place.bucket, place.pointer(), place.sink)
    assert "prefetched" in said
    assert not place.target.exists(), "a prefetch puts nothing in place"
    place.bucket.log.clear()
    assert place.restored().fetched_bytes == 0
    assert _streams(place) == []


def test_a_prefetched_file_that_changed_is_fetched_again(place: Place) -> None:
    prefetch(place.runtime, place.bucket, place.pointer(), place.sink)
    staged = place.staging / place.refs[2].name
    (staged / "model").write_bytes(b"torn")
    (staged / "stranger").write_bytes(b"not in the manifest")
    assert place.restored().ref == place.refs[2]


def test_a_prefetch_of_an_older_head_changes_nothing(place: Place) -> None:
    old = replace(place.pointer(), head=place.refs[1])
    prefetch(place.runtime, place.bucket, old, place.sink)
    assert place.restored().ref == place.refs[2]


@pytest.mark.parametrize("damage", [*DAMAGES, "out of reach", "refused", "a full disk"])
def test_a_prefetch_never_fails_loudly(place: Place, damage: str) -> None:
    if damage == "out of reach":
        place.bucket.fail("dropped", "stream", "", times=100)
    elif damage == "refused":
        place.bucket.fail("denied", "get", "manifests/")
    elif damage == "a full disk":
        place.staging.write_text("a file where the folder should be")
    else:
        DAMAGES[damage](place)
    said = prefetch(place.runtime, place.bucket, place.pointer(), place.sink)
    assert said
    assert place.facts == []


def test_there_may_be_nothing_to_prefetch(place: Place) -> None:
    assert "nothing" in prefetch(place.runtime, place.bucket, None, place.sink)
    assert "nothing" in prefetch(place.runtime, place.bucket, pointer(1), place.sink)


# the folder


def test_an_old_checkpoint_of_that_name_gives_way_in_one_step(place: Place) -> None:
    torn = place.target / "step-30"
    torn.mkdir(parents=True)
    (torn / "model").write_bytes(b"torn")
    (torn / "left over").write_bytes(b"x")
    assert place.restored().ref == place.refs[2]
    assert list(place.staging.iterdir()) == []


def test_no_file_is_written_through_a_link(place: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    staged = place.staging / place.refs[2].name
    staged.mkdir(parents=True)
    (staged / "model").symlink_to(outside)
    assert place.restored().ref == place.refs[2]
    assert outside.read_bytes() == b"mine"


def test_a_disk_that_refuses_is_an_error_of_the_disk(place: Place) -> None:
    place.staging.write_text("a file where the folder should be")
    with pytest.raises(OSError, match="staging"):
        place.restore()
    assert place.facts == []


def test_from_a_real_folder_on_real_threads(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    bucket = scoped(open_bucket(str(tmp_path / "bucket")), "jobs/job-1")
    memory = Place(tmp_path)
    for key, (body, _) in memory.bucket.objects.items():
        bucket.create(key, body)
    outcome = restore_chain(SystemRuntime(), bucket, memory.pointer(), memory.sink, lambda *fact: None)
    assert outcome is not None
    assert outcome.ref == memory.refs[2]


def test_a_claim_and_a_restore_agree_on_what_was_started_from(place: Place) -> None:
    new = Attempt(place.bucket, 2)
    place.bucket.flip_bit(place.key(2, "model"))
    claimed = new.claim(place.attempt.closed())
    outcome = place.restored(claimed)
    new.owner.started(outcome.ref, outcome.why)
    new.commit(25, files=place.content(25))
    after = new.owner.pointer
    assert after is not None
    assert after.started_from == place.refs[1]
    assert "does not" in after.started_why or "hash" in after.started_why
