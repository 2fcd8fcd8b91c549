"""Writes whose outcome is unknown: repeated as they are, recognised, and never lost."""

from __future__ import annotations

import pytest
from tests.agent.bucket.make import Attempt, leave_in_doubt, names, now
from tests.fakes.bucket import MemoryBucket

from outlast.bucket.outcomes import Applied, Mine, Over
from outlast.ports import Unsure
from outlast.protocol.messages import Permission
from outlast.protocol.objects import PointerState


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.mark.parametrize("kind", ["lost", "late", "dropped"])
def test_an_advance_in_doubt_is_repeated_until_it_is_known(bucket: MemoryBucket, kind: str) -> None:
    attempt = Attempt(bucket)
    attempt.claim()
    bucket.fail(kind)
    attempt.commit(10)
    before = now(bucket)
    assert bucket.deliver() == 0
    assert now(bucket) == before
    assert names(before.kept) == [10]
    assert [kind for kind, _ in attempt.facts] == ["checkpoint.committed"]


@pytest.mark.parametrize("kind", ["lost", "late", "dropped"])
def test_a_long_doubt_is_told_and_the_same_call_goes_on_later(bucket: MemoryBucket, kind: str) -> None:
    attempt = Attempt(bucket)
    attempt.claim()
    draft = attempt.draft(10)

    def cut_off_at_the_advance(verb: str, key: str) -> None:
        if verb == "replace" and not bucket.faults:
            bucket.fail(kind)
            bucket.fail("dropped", times=9)
            bucket.fail("dropped", "get", times=9)

    bucket.before = cut_off_at_the_advance
    with pytest.raises(Unsure):
        attempt.owner.commit(draft)
    bucket.before = lambda verb, key: None
    bucket.faults.clear()
    bucket.deliver()
    assert isinstance(attempt.owner.commit(draft), Applied)
    assert isinstance(attempt.owner.commit(draft), Applied)
    assert names(now(bucket).kept) == [10]
    assert [kind for kind, _ in attempt.facts] == ["checkpoint.committed"]


@pytest.mark.parametrize("kind", ["late", "dropped"])
def test_a_checkpoint_in_doubt_comes_before_the_next_one_and_is_its_parent(
    bucket: MemoryBucket, kind: str
) -> None:
    attempt = Attempt(bucket)
    attempt.claim()
    leave_in_doubt(bucket, attempt, 10, kind)
    second = attempt.commit(20)
    assert names(now(bucket).kept) == [10, 20]
    assert bucket.deliver() == 0
    assert now(bucket).head == second


@pytest.mark.parametrize("kind", ["late", "dropped"])
def test_a_release_takes_a_checkpoint_in_doubt_along(bucket: MemoryBucket, kind: str) -> None:
    attempt = Attempt(bucket)
    attempt.claim()
    leave_in_doubt(bucket, attempt, 10, kind)
    assert isinstance(attempt.owner.release("noticed"), Applied)
    assert bucket.deliver() == 0
    assert (names(now(bucket).kept), now(bucket).state) == ([10], PointerState.RELEASED)


def test_a_look_recognises_a_write_in_doubt(bucket: MemoryBucket) -> None:
    attempt = Attempt(bucket)
    attempt.claim()
    leave_in_doubt(bucket, attempt, 10, "late")
    bucket.deliver()
    assert isinstance(attempt.owner.look(), Mine)
    assert [kind for kind, _ in attempt.facts] == ["checkpoint.committed"]


def test_a_conflict_of_the_store_alone_is_not_a_fence(bucket: MemoryBucket) -> None:
    """S3 may answer 409 to a write that met nobody."""
    attempt = Attempt(bucket)
    attempt.claim()
    bucket.fail("conflict", times=3)
    attempt.commit(10)
    assert names(now(bucket).kept) == [10]


@pytest.mark.parametrize("verb", ["release", "end"])
@pytest.mark.parametrize("kind", ["lost", "late", "dropped"])
def test_the_last_word_is_recognised_too(bucket: MemoryBucket, kind: str, verb: str) -> None:
    attempt = Attempt(bucket)
    attempt.claim()
    bucket.fail(kind)

    def say() -> object:
        return attempt.owner.release("x") if verb == "release" else attempt.owner.end(3, "x")

    assert isinstance(say(), Applied)
    state = {"release": PointerState.RELEASED, "end": PointerState.ENDED}[verb]
    assert now(bucket).state is state
    assert now(bucket).exit_code == (3 if verb == "end" else None)
    assert isinstance(say(), Over)
    assert isinstance(attempt.owner.commit(attempt.draft(10)), Over)
    assert isinstance(attempt.owner.claim(Permission()), Over)


def test_time_is_never_spent_without_a_limit(bucket: MemoryBucket) -> None:
    attempt = Attempt(bucket)
    attempt.claim()
    bucket.fail("dropped", times=10_000)
    with pytest.raises(Unsure):
        attempt.owner.release("x")
    assert sum(attempt.runtime.slept_s) < 30.0
