"""The verbs on a bucket that others change too: claims, alarms, freezing and restarts."""

from __future__ import annotations

import pytest
from tests.agent.bucket.make import Attempt, leave_in_doubt, names, now
from tests.fakes.bucket import MemoryBucket

from outlast.bucket.outcomes import Applied, Fenced, Mine, Stop, Wait
from outlast.ports import Denied, Unsure
from outlast.protocol.messages import Permission
from outlast.protocol.objects import POINTER_KEY, PointerState


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


# claim


def test_claim_commit_release_and_claim_again(bucket: MemoryBucket) -> None:
    one = Attempt(bucket)
    assert isinstance(one.owner.look(), Wait)
    one.claim()
    assert isinstance(one.owner.look(), Mine)
    one.commit(10)
    one.commit(20)
    assert isinstance(one.owner.release("drained"), Applied)
    two = Attempt(bucket, 2)
    assert names(two.claim().kept) == [10, 20]
    assert isinstance(one.owner.look(), Fenced)
    assert isinstance(one.owner.commit(one.draft(30)), Fenced)
    assert now(bucket).generation == 2


@pytest.mark.parametrize("verb", ["create", "replace"])
@pytest.mark.parametrize("kind", ["lost", "late"])
def test_a_claim_whose_reply_is_lost_is_recognised(bucket: MemoryBucket, kind: str, verb: str) -> None:
    if verb == "replace":
        Attempt(bucket).claim()
        Attempt(bucket).owner.release("done")
    attempt = Attempt(bucket, 2)
    bucket.fail(kind, verb)
    if kind == "late":
        with pytest.raises(Unsure, match="not known whether the claim took place"):
            attempt.owner.claim(Permission())
        assert bucket.deliver() == 1
    attempt.claim()
    assert now(bucket).generation == 2
    assert len([call for call in bucket.log if call == (verb, POINTER_KEY)]) <= 2


def test_a_late_claim_shows_itself_to_whoever_looks_and_can_be_released(bucket: MemoryBucket) -> None:
    attempt = Attempt(bucket)
    bucket.fail("late", "create")
    with pytest.raises(Unsure):
        attempt.owner.claim(Permission())
    assert isinstance(attempt.owner.look(), Wait)
    bucket.deliver()
    assert isinstance(attempt.owner.look(), Mine)
    assert isinstance(attempt.owner.release("abandoned"), Applied)
    assert now(bucket).state is PointerState.RELEASED


def test_a_late_claim_after_another_claim_can_do_nothing(bucket: MemoryBucket) -> None:
    one, two = Attempt(bucket, 1), Attempt(bucket, 2)
    bucket.fail("late", "create")
    with pytest.raises(Unsure):
        one.owner.claim(Permission())
    two.claim()
    assert bucket.deliver() == 0
    assert isinstance(one.owner.claim(Permission()), Fenced)


def test_a_claimer_that_meets_another_asks_anew(bucket: MemoryBucket) -> None:
    """What it may step over is decided by a fresh permission, never by the one it came with."""
    first = Attempt(bucket, 1)
    first.claim()
    first.owner.release("done")
    two, three = Attempt(bucket, 2), Attempt(bucket, 3)

    def two_is_faster(verb: str, key: str) -> None:
        if verb == "replace":
            bucket.before = lambda verb, key: None
            two.claim()

    bucket.before = two_is_faster
    assert isinstance(three.owner.claim(Permission()), Wait)
    assert now(bucket).generation == 2
    assert three.claim(two.closed()).generation == 3


def test_two_claimers_of_one_generation_have_one_winner(bucket: MemoryBucket) -> None:
    one, other = Attempt(bucket, 2, "w-one"), Attempt(bucket, 2, "w-other")
    one.claim()
    assert isinstance(other.owner.claim(Permission()), Fenced)
    assert isinstance(other.owner.claim(Permission(closed=(one.closed(),))), Fenced)


def test_a_refused_write_is_denied(bucket: MemoryBucket) -> None:
    bucket.fail("denied", "create")
    with pytest.raises(Denied):
        Attempt(bucket).owner.claim(Permission())


# the pointer in other people's hands


def test_a_pointer_that_vanished_after_the_claim_stops_every_verb(bucket: MemoryBucket) -> None:
    attempt = Attempt(bucket)
    attempt.claim()
    attempt.commit(10)
    del bucket.objects[POINTER_KEY]
    for act in (
        attempt.owner.look,
        lambda: attempt.owner.commit(attempt.draft(20)),
        lambda: attempt.owner.release("x"),
        lambda: attempt.owner.end(0, "x"),
        attempt.owner.prune,
        lambda: attempt.owner.claim(Permission()),
    ):
        outcome = act()
        assert isinstance(outcome, Stop), act
        assert "vanished" in outcome.why
    assert POINTER_KEY not in bucket.objects


def test_a_pointer_that_went_back_stops(bucket: MemoryBucket) -> None:
    old = Attempt(bucket, 1)
    old.claim()
    old.commit(10)
    backup = bucket.objects[POINTER_KEY]
    new = Attempt(bucket, 2)
    new.claim(old.closed())
    bucket.objects[POINTER_KEY] = backup
    outcome = new.owner.commit(new.draft(20))
    assert isinstance(outcome, Stop)
    assert "went back" in outcome.why


@pytest.mark.parametrize("body", [b"", b"\x00garbage", b"{}"])
def test_a_garbage_pointer_stops_and_is_left_as_it_is(bucket: MemoryBucket, body: bytes) -> None:
    bucket.objects[POINTER_KEY] = (body, "v")
    outcome = Attempt(bucket, 2).owner.claim(Permission())
    assert isinstance(outcome, Stop)
    assert "damaged" in outcome.why
    assert bucket.objects[POINTER_KEY] == (body, "v")


# a writer that was frozen, and one that was restarted


def test_a_frozen_writers_advance_arrives_after_the_successor_claimed(bucket: MemoryBucket) -> None:
    old = Attempt(bucket, 1)
    old.claim()
    old.commit(10)
    leave_in_doubt(bucket, old, 20, "late")
    new = Attempt(bucket, 2)
    claimed = new.claim(old.closed())
    assert bucket.deliver() == 0
    assert now(bucket) == claimed
    assert names(claimed.kept) == [10]
    assert isinstance(old.owner.look(), Fenced)


def test_an_advance_just_before_the_successors_claim_is_taken_over(bucket: MemoryBucket) -> None:
    old, new = Attempt(bucket, 1), Attempt(bucket, 2)
    old.claim()
    old.commit(10)
    bucket.before = lambda verb, key: old_is_faster() if verb == "replace" else None

    def old_is_faster() -> None:
        bucket.before = lambda verb, key: None
        old.commit(20)

    assert isinstance(new.owner.claim(Permission(closed=(old.closed(),))), Wait)
    claimed = new.claim(old.closed())
    assert claimed.head is not None
    assert claimed.head.step == 20


def test_a_restarted_agent_goes_on_as_the_same_writer(bucket: MemoryBucket) -> None:
    attempt = Attempt(bucket)
    attempt.claim()
    attempt.commit(10)
    attempt.restarted()
    assert isinstance(attempt.owner.look(), Mine)
    attempt.commit(20)
    assert names(now(bucket).kept) == [10, 20]


def test_what_the_process_before_sent_can_no_longer_arrive(bucket: MemoryBucket) -> None:
    attempt = Attempt(bucket)
    attempt.claim()
    attempt.commit(10)
    leave_in_doubt(bucket, attempt, 20, "late")
    attempt.restarted()

    def arrives_between_manifest_and_advance(verb: str, key: str) -> None:
        if verb == "create" and key.startswith("manifests/"):
            bucket.before = lambda verb, key: None
            assert bucket.deliver() == 0

    bucket.before = arrives_between_manifest_and_advance
    attempt.commit(30)
    assert names(now(bucket).kept) == [10, 30]


def test_a_restarted_agent_advances_the_manifest_it_had_made(bucket: MemoryBucket) -> None:
    attempt = Attempt(bucket)
    attempt.claim()
    attempt.commit(10)
    leave_in_doubt(bucket, attempt, 20, "dropped")
    attempt.restarted()
    assert isinstance(attempt.owner.adopt(), Applied)
    assert names(now(bucket).kept) == [10, 20]
    assert isinstance(attempt.owner.adopt(), Mine)
    attempt.commit(30)
    assert names(now(bucket).kept) == [10, 20, 30]


def test_a_restarted_agent_finishes_the_very_commit_when_asked_again(bucket: MemoryBucket) -> None:
    attempt = Attempt(bucket)
    attempt.claim()
    attempt.commit(10)
    draft = attempt.draft(20)
    bucket.fail("dropped", times=9)
    with pytest.raises(Unsure):
        attempt.owner.commit(draft)
    bucket.faults.clear()
    attempt.runtime.now_s += 100.0
    assert isinstance(attempt.restarted().commit(draft), Applied)
    assert names(now(bucket).kept) == [10, 20]
