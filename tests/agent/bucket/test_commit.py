"""A manifest is made just before its advance, on the head of that moment, from data that is there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.agent.bucket.make import JOB, OWNER, Attempt, me, names
from tests.fakes.bucket import MemoryBucket

from outlast.bucket.manifest import (
    BadManifest,
    build_manifest,
    hash_bytes,
    manifest_bytes,
    manifest_ref,
    read_manifest,
)
from outlast.bucket.outcomes import Applied, Rebase
from outlast.ports import Unsure
from outlast.protocol.objects import FileEntry, Manifest, ManifestRef


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def attempt(bucket: MemoryBucket) -> Attempt:
    attempt = Attempt(bucket)
    attempt.claim()
    return attempt


def read(bucket: MemoryBucket, ref: ManifestRef) -> Manifest:
    return read_manifest(bucket, ref, OWNER, JOB)


def test_each_manifest_names_the_head_of_its_moment_as_parent(bucket: MemoryBucket, attempt: Attempt) -> None:
    first, second = attempt.commit(10), attempt.commit(20)
    assert read(bucket, first).parent is None
    assert read(bucket, second).parent == first


def test_a_lower_step_after_a_higher_one_is_the_head(bucket: MemoryBucket, attempt: Attempt) -> None:
    high, low = attempt.commit(900), attempt.commit(5)
    assert attempt.owner.pointer is not None
    assert attempt.owner.pointer.head == low
    assert read(bucket, low).parent == high


def test_the_manifest_is_created_after_its_data_and_before_the_pointer(
    bucket: MemoryBucket, attempt: Attempt
) -> None:
    draft = attempt.draft(10)
    bucket.log.clear()
    attempt.owner.commit(draft)
    writes = [verb for verb, key in bucket.log if verb in ("create", "replace", "put")]
    assert writes == ["create", "replace"]


@pytest.mark.parametrize("spoil", ["gone", "short"])
def test_data_that_is_not_there_is_never_committed(
    bucket: MemoryBucket, attempt: Attempt, spoil: str
) -> None:
    draft = attempt.draft(10)
    if spoil == "gone":
        del bucket.objects[draft.files[0].key]
    else:
        bucket.objects[draft.files[0].key] = (b"m", "v")
    outcome = attempt.owner.commit(draft)
    assert isinstance(outcome, Rebase)
    assert "model" in outcome.why
    assert bucket.keys("manifests/") == []


def test_an_unchanged_file_names_the_object_of_the_head(bucket: MemoryBucket, attempt: Attempt) -> None:
    head = attempt.commit(10, files={"frozen": b"base", "model": b"1"})
    frozen = next(entry for entry in read(bucket, head).files if entry.path == "frozen")
    child = attempt.commit(20, again=(frozen,))
    assert {entry.key for entry in read(bucket, child).files} >= {frozen.key}


def test_renaming_is_decided_on_the_head_of_the_commit_and_not_of_the_upload(
    bucket: MemoryBucket, attempt: Attempt
) -> None:
    base = attempt.commit(10, files={"frozen": b"base", "model": b"1"})
    frozen = next(entry for entry in read(bucket, base).files if entry.path == "frozen")
    waiting = attempt.draft(30, again=(frozen,))
    head = attempt.commit(20, files={"frozen": b"thawed", "model": b"2"})
    outcome = attempt.owner.commit(waiting)
    assert isinstance(outcome, Rebase)
    assert outcome.head == head
    assert frozen.key in outcome.why


def test_a_head_that_moves_while_the_manifest_is_made_needs_another_manifest(
    bucket: MemoryBucket, attempt: Attempt
) -> None:
    """Two processes of one writer must not be; if they are, the chain of parents stays whole all the same."""
    attempt.commit(10)
    old = attempt.owner
    draft = attempt.draft(30)

    def the_other_process_is_faster(verb: str, key: str) -> None:
        if verb == "create":
            bucket.before = lambda verb, key: None
            attempt.restarted()
            attempt.commit(20)

    bucket.before = the_other_process_is_faster
    outcome = old.commit(draft)
    assert isinstance(outcome, Rebase)
    assert outcome.head is not None
    assert outcome.head.step == 20


def test_a_moved_head_that_names_the_same_object_is_no_hindrance(
    bucket: MemoryBucket, attempt: Attempt
) -> None:
    base = attempt.commit(10, files={"frozen": b"base", "model": b"1"})
    frozen = next(entry for entry in read(bucket, base).files if entry.path == "frozen")
    waiting = attempt.draft(30, again=(frozen,))
    attempt.commit(20, again=(frozen,))
    assert isinstance(attempt.owner.commit(waiting), Applied)


@pytest.mark.parametrize("change", [{"hash": hash_bytes(b"other")}, {"size": 5}])
def test_a_reference_must_agree_in_every_point(
    bucket: MemoryBucket, attempt: Attempt, change: dict[str, object]
) -> None:
    head = attempt.commit(10, files={"frozen": b"base"})
    frozen = replace(read(bucket, head).files[0], **change)  # type: ignore[arg-type]
    assert isinstance(attempt.owner.commit(attempt.draft(20, again=(frozen,))), Rebase)


def test_nothing_of_an_unreadable_head_is_named_again(bucket: MemoryBucket, attempt: Attempt) -> None:
    head = attempt.commit(10, files={"frozen": b"base"})
    frozen = read(bucket, head).files[0]
    attempt.restarted()
    bucket.flip_bit(head.key)
    assert isinstance(attempt.owner.commit(attempt.draft(20, again=(frozen,))), Rebase)
    assert isinstance(attempt.owner.commit(attempt.draft(30)), Applied)


def test_a_manifest_whose_reply_was_lost_is_found(bucket: MemoryBucket, attempt: Attempt) -> None:
    bucket.fail("lost", "create", "manifests/")
    attempt.commit(10)
    bucket.fail("late", "create", "manifests/")
    attempt.commit(20)
    assert bucket.deliver() == 0
    assert attempt.owner.pointer is not None
    assert names(attempt.owner.pointer.kept) == [10, 20]


def test_a_manifest_in_doubt_moves_no_pointer(bucket: MemoryBucket, attempt: Attempt) -> None:
    draft = attempt.draft(10)
    bucket.fail("dropped", "create", "manifests/", times=9)
    with pytest.raises(Unsure, match="manifests/"):
        attempt.owner.commit(draft)
    assert attempt.owner.pointer is not None
    assert attempt.owner.pointer.head is None
    bucket.faults.clear()
    assert isinstance(attempt.owner.commit(draft), Applied)


def test_a_name_that_is_taken_needs_another_name(bucket: MemoryBucket, attempt: Attempt) -> None:
    draft = attempt.draft(10)
    bucket.put(f"manifests/{draft.name}.json", b"somebody else's")
    outcome = attempt.owner.commit(draft)
    assert isinstance(outcome, Rebase)
    assert "name" in outcome.why


# what a manifest may say

FILE = FileEntry("model", "checkpoints/000000010-g1-aa/model", 5, hash_bytes(b"model"))


def manifest(attempt: Attempt, **changes: object) -> Manifest:
    made = build_manifest(me(), attempt.draft(10), None, at="now")
    return replace(made, **changes)  # type: ignore[arg-type]


BAD = {
    "another owner": {"owner": "another"},
    "another job": {"job": "another"},
    "another format": {"format": 2},
    "another name": {"name": "000000011-g1-aa"},
    "another step": {"step": 11},
    "no file": {"files": ()},
    "a path that climbs": {"files": (replace(FILE, path="../../etc/passwd"),)},
    "an absolute path": {"files": (replace(FILE, path="/etc/passwd"),)},
    "a key that climbs": {"files": (replace(FILE, key="../other/model"),)},
    "a file twice": {"files": (FILE, FILE)},
    "a file that is a folder": {"files": (FILE, replace(FILE, path="model/part"))},
    "an unknown hash": {"files": (replace(FILE, hash="md5:00"),)},
    "a negative size": {"files": (replace(FILE, size=-1),)},
}


@pytest.mark.parametrize("kind", BAD)
def test_a_manifest_that_says_something_else_is_refused(
    bucket: MemoryBucket, attempt: Attempt, kind: str
) -> None:
    good = manifest(attempt)
    bad = replace(good, **BAD[kind])  # type: ignore[arg-type]
    ref = replace(manifest_ref(good), hash=hash_bytes(manifest_bytes(bad)))
    bucket.put(ref.key, manifest_bytes(bad))
    with pytest.raises(BadManifest) as caught:
        read(bucket, ref)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"[]", b'{"format":1}'])
def test_garbage_with_the_right_hash_is_refused(bucket: MemoryBucket, attempt: Attempt, body: bytes) -> None:
    ref = replace(manifest_ref(manifest(attempt)), hash=hash_bytes(body))
    bucket.put(ref.key, body)
    with pytest.raises(BadManifest, match="damaged"):
        read(bucket, ref)


def test_a_flipped_bit_and_an_absent_manifest_are_told(bucket: MemoryBucket, attempt: Attempt) -> None:
    head = attempt.commit(10)
    bucket.flip_bit(head.key)
    with pytest.raises(BadManifest, match="its hash is"):
        read(bucket, head)
    bucket.delete(head.key)
    with pytest.raises(BadManifest, match="missing"):
        read(bucket, head)


def test_a_hash_of_another_kind_is_not_taken_for_a_mismatch(bucket: MemoryBucket, attempt: Attempt) -> None:
    head = attempt.commit(10)
    with pytest.raises(BadManifest, match="does not know"):
        read(bucket, replace(head, hash="blake3:00"))


def test_a_draft_that_no_manifest_can_describe_is_not_committed(
    bucket: MemoryBucket, attempt: Attempt
) -> None:
    draft = attempt.draft(10)
    outcome = attempt.owner.commit(replace(draft, files=(*draft.files, draft.files[0])))
    assert isinstance(outcome, Rebase)
    assert "twice" in outcome.why
