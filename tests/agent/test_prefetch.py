"""What arrives ahead of the claim decides nothing, and how files reach their place on the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.agent.bucket.make import pointer
from tests.agent.restoring import DAMAGES, Place

from outlast.bucket.client import open_bucket, scoped
from outlast.clock import SystemRuntime
from outlast.protocol.objects import data_prefix
from outlast.restore import prefetch, restore_chain


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


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
    staged = place.staging / data_prefix(place.refs[2].name)
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
    staged = place.staging / data_prefix(place.refs[2].name)
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
