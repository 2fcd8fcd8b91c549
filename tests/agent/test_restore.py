"""Only verified bytes arrive; what does not verify gives way to its parent, and nothing starts at 0."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.agent.bucket.make import Attempt, pointer
from tests.agent.restoring import DAMAGES, Place

from outlast.clock import SystemRuntime
from outlast.ports import Denied, Unsure
from outlast.protocol.objects import data_prefix
from outlast.restore import FolderSink, NothingRestorable


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


def test_plain_files_come_back_beside_what_else_lies_in_the_folder(place: Place) -> None:
    place.sink = FolderSink(place.staging, lambda manifest: place.target, place.target)
    (place.target / "logs").mkdir(parents=True)
    (place.target / "logs" / "curve.csv").write_text("1")
    (place.target / "base.pt").write_bytes(b"came with the code")
    (place.target / "model").write_bytes(b"half of a save")
    for _ in range(2):  # safe to repeat: the second time everything is there already
        outcome = place.restore()
        assert outcome is not None
        found = {str(f.relative_to(place.target)): f for f in place.target.rglob("*") if f.is_file()}
        assert set(found) == {*place.content(30), "logs/curve.csv", "base.pt"}
        assert {name: found[name].read_bytes() for name in place.content(30)} == place.content(30)
    assert list(place.staging.iterdir()) == []
