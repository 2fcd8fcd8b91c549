"""What leaves is deleted late, in order, and by nobody who could harm a successor."""

from __future__ import annotations

import threading

import pytest
from tests.agent.bucket.make import JOB, OWNER, Attempt, names, now
from tests.fakes.bucket import MemoryBucket

from outlast.bucket.manifest import read_manifest
from outlast.bucket.outcomes import Applied, Fenced, Mine
from outlast.ports import Unsure
from outlast.protocol.objects import POINTER_KEY, FileEntry, ManifestRef, data_prefix, pin_key


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def attempt(bucket: MemoryBucket) -> Attempt:
    attempt = Attempt(bucket, keep=2)
    attempt.claim()
    return attempt


def whole(bucket: MemoryBucket) -> None:
    """The invariant: all that `kept` names exists."""
    for ref in now(bucket).kept:
        for entry in read_manifest(bucket, ref, OWNER, JOB).files:
            assert entry.key in bucket.objects, f"{ref.name} lost {entry.key}"


def entry_of(bucket: MemoryBucket, ref: ManifestRef, path: str) -> FileEntry:
    return next(e for e in read_manifest(bucket, ref, OWNER, JOB).files if e.path == path)


def test_the_oldest_leaves_and_is_deleted_manifest_first(bucket: MemoryBucket, attempt: Attempt) -> None:
    first = attempt.commit(10)
    attempt.commit(20)
    attempt.commit(30)
    assert names(now(bucket).kept) == [20, 30]
    assert first.key in bucket.objects, "nothing is deleted before prune() is called"
    bucket.log.clear()
    assert isinstance(attempt.owner.prune(), Mine)
    deleted = [key for verb, key in bucket.log if verb == "delete"]
    assert deleted == [first.key, data_prefix(first.name) + "model"]
    assert bucket.keys(data_prefix(first.name)) == []
    whole(bucket)


def test_an_object_that_a_kept_checkpoint_names_stays(bucket: MemoryBucket, attempt: Attempt) -> None:
    first = attempt.commit(10, files={"frozen": b"base", "model": b"1"})
    frozen = entry_of(bucket, first, "frozen")
    attempt.commit(20, again=(frozen,))
    attempt.commit(30, again=(frozen,))
    attempt.owner.prune()
    assert bucket.keys(data_prefix(first.name)) == [frozen.key]
    whole(bucket)
    attempt.commit(40)
    attempt.commit(50)
    attempt.owner.prune()
    assert bucket.keys(data_prefix(first.name)) == [], "the last checkpoint that named it is gone"
    whole(bucket)


def test_nothing_is_deleted_while_its_leaving_is_in_doubt(bucket: MemoryBucket, attempt: Attempt) -> None:
    first = attempt.commit(10)
    attempt.commit(20)
    draft = attempt.draft(30)
    bucket.fail("dropped", times=10)
    with pytest.raises(Unsure):
        attempt.owner.commit(draft)
    with pytest.raises(Unsure):
        attempt.owner.prune()
    assert first.key in bucket.objects
    bucket.faults.clear()
    attempt.owner.prune()
    assert first.key not in bucket.objects
    whole(bucket)


def test_a_write_that_was_built_and_never_applied_deletes_nothing(
    bucket: MemoryBucket, attempt: Attempt
) -> None:
    """The victims were chosen, the write was fenced off: the successor still keeps them."""
    first = attempt.commit(10)
    attempt.commit(20)
    draft = attempt.draft(30)
    new = Attempt(bucket, 2, keep=2)

    def successor_is_faster(verb: str, key: str) -> None:
        if (verb, key) == ("replace", POINTER_KEY):
            bucket.before = lambda verb, key: None
            new.claim(attempt.closed())

    bucket.before = successor_is_faster
    assert isinstance(attempt.owner.commit(draft), Fenced)
    assert isinstance(attempt.owner.prune(), Fenced)
    assert first.key in bucket.objects
    whole(bucket)


@pytest.mark.parametrize("frozen_at", [0, 1])
def test_a_pruner_that_was_frozen_for_an_hour_harms_nobody(
    bucket: MemoryBucket, attempt: Attempt, frozen_at: int
) -> None:
    first = attempt.commit(10, files={"frozen": b"base", "model": b"1"})
    frozen = entry_of(bucket, first, "frozen")
    attempt.commit(20, again=(frozen,))
    attempt.commit(30, again=(frozen,))
    pruner = threading.Thread(target=attempt.owner.prune, daemon=True)
    stopped, thaw, deletes = threading.Event(), threading.Event(), [0]

    def freeze(verb: str, key: str) -> None:
        if threading.current_thread() is pruner and verb == "delete":
            deletes[0] += 1
            if deletes[0] > frozen_at:
                stopped.set()
                assert thaw.wait(30), "nobody woke the pruner"

    bucket.before = freeze
    pruner.start()
    assert stopped.wait(30), "the pruner never came to its deletion"
    new = Attempt(bucket, 2, keep=2)
    new.claim(attempt.closed())
    whole(bucket)
    new.owner.collect_garbage()
    new.commit(40, again=(frozen,))
    new.commit(50, again=(frozen,))
    thaw.set()
    pruner.join(30)
    assert not pruner.is_alive(), "the pruner hangs"
    whole(bucket)
    new.owner.prune()
    whole(bucket)
    assert names(now(bucket).kept) == [40, 50]
    assert isinstance(attempt.owner.look(), Fenced)


def test_what_left_never_comes_back(bucket: MemoryBucket, attempt: Attempt) -> None:
    draft = attempt.draft(10)
    attempt.owner.commit(draft)
    attempt.commit(20)
    attempt.commit(30)
    assert names(now(bucket).kept) == [20, 30]
    assert isinstance(attempt.owner.commit(draft), Applied)
    assert names(now(bucket).kept) == [20, 30]


# pins


def test_a_wish_becomes_a_pin_with_the_next_write_and_ends_with_the_wish(
    bucket: MemoryBucket, attempt: Attempt
) -> None:
    first = attempt.commit(10)
    bucket.put(pin_key(first.name), b"")
    assert now(bucket).pinned == ()
    attempt.owner.prune()
    assert now(bucket).pinned == (first.name,)
    for step in (20, 30, 40):
        attempt.commit(step)
    assert names(now(bucket).kept) == [10, 30, 40]
    bucket.delete(pin_key(first.name))
    attempt.owner.prune()
    assert (names(now(bucket).kept), now(bucket).pinned) == ([30, 40], ())
    assert first.key not in bucket.objects


def test_a_hold_of_the_program_outlives_the_persons_pin(bucket: MemoryBucket, attempt: Attempt) -> None:
    first = attempt.commit(10)
    bucket.put(pin_key(first.name), b"")
    bucket.put(pin_key(first.name) + "+rollback-1", b"")
    attempt.owner.prune()
    bucket.delete(pin_key(first.name))
    attempt.owner.prune()
    assert now(bucket).pinned == (first.name,)


def test_a_wish_that_came_too_late_pins_nothing(bucket: MemoryBucket, attempt: Attempt) -> None:
    first = attempt.commit(10)
    attempt.commit(20)
    attempt.commit(30)
    bucket.put(pin_key(first.name), b"")
    attempt.owner.prune()
    assert now(bucket).pinned == ()
    assert names(now(bucket).kept) == [20, 30]


def test_nobody_leaves_when_nobody_said_how_many_stay(bucket: MemoryBucket, attempt: Attempt) -> None:
    attempt.commit(10)
    attempt.commit(20)
    attempt.keep = None
    attempt.restarted()
    attempt.commit(30)
    assert names(now(bucket).kept) == [10, 20, 30]


def test_nobody_leaves_while_wishes_are_unreadable(bucket: MemoryBucket, attempt: Attempt) -> None:
    first = attempt.commit(10)
    attempt.commit(20)
    bucket.put(pin_key(first.name), b"")
    attempt.commit(30)
    bucket.fail("dropped", "list", "pins")
    attempt.commit(40)
    assert (names(now(bucket).kept), now(bucket).pinned) == ([10, 20, 30, 40], (first.name,))
    attempt.owner.prune()
    assert (names(now(bucket).kept), now(bucket).pinned) == ([10, 30, 40], (first.name,))


def test_nobody_leaves_while_the_chain_is_unreadable_and_it_is_told(
    bucket: MemoryBucket, attempt: Attempt
) -> None:
    attempt.commit(10)
    second = attempt.commit(20)
    attempt.restarted()
    bucket.flip_bit(second.key)
    attempt.commit(30)
    assert names(now(bucket).kept) == [10, 20, 30]
    assert any(kind == "storage.trouble" and second.key in why for kind, why in attempt.facts)


# garbage of others


def test_after_a_claim_the_litter_of_lower_generations_goes(bucket: MemoryBucket, attempt: Attempt) -> None:
    kept = attempt.commit(10)
    half_uploaded = attempt.draft(20)
    bucket.fail("dropped", times=9)
    with pytest.raises(Unsure):
        attempt.owner.commit(attempt.draft(30))  # a manifest that no pointer lists
    bucket.faults.clear()
    new = Attempt(bucket, 2)
    new.claim(attempt.closed())
    assert new.owner.collect_garbage() == 3
    assert bucket.keys("manifests/") == [kept.key]
    assert bucket.keys(data_prefix(half_uploaded.name)) == []
    assert new.owner.collect_garbage() == 0
    whole(bucket)


def test_an_own_and_a_higher_generations_work_is_never_collected(
    bucket: MemoryBucket, attempt: Attempt
) -> None:
    attempt.commit(10)
    new, newer = Attempt(bucket, 2), Attempt(bucket, 3)
    new.claim(attempt.closed())
    own, higher = new.draft(20), newer.draft(30)
    bucket.put("checkpoints/notes.txt", b"a person's")
    new.owner.collect_garbage()
    assert {own.files[0].key, higher.files[0].key, "checkpoints/notes.txt"} <= set(bucket.objects)


def test_a_collector_that_was_superseded_before_it_began_does_nothing(
    bucket: MemoryBucket, attempt: Attempt
) -> None:
    attempt.draft(10)
    new, newer = Attempt(bucket, 2), Attempt(bucket, 3)
    new.claim(attempt.closed())
    newer.claim(new.closed())
    assert new.owner.collect_garbage() == 0


def test_a_collector_frozen_at_its_first_deletion_harms_nobody(
    bucket: MemoryBucket, attempt: Attempt
) -> None:
    first = attempt.commit(10, files={"frozen": b"base", "model": b"1"})
    frozen = entry_of(bucket, first, "frozen")
    attempt.commit(20, again=(frozen,))
    attempt.draft(25)
    attempt.commit(30, again=(frozen,))
    new, newer = Attempt(bucket, 2, keep=2), Attempt(bucket, 3, keep=2)
    new.claim(attempt.closed())

    def successor_meanwhile(verb: str, key: str) -> None:
        if verb == "delete":
            bucket.before = lambda verb, key: None
            newer.claim(new.closed())
            newer.commit(40, again=(frozen,))
            newer.owner.prune()

    bucket.before = successor_meanwhile
    new.owner.collect_garbage()
    whole(bucket)
    assert names(now(bucket).kept) == [30, 40]
