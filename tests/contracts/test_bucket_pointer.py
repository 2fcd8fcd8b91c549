"""The pointer's verbs on every kind of bucket, and a second owner on the same prefix."""

from __future__ import annotations

from tests.agent.bucket.make import JOB, OWNER
from tests.contracts.test_bucket import Bytes
from tests.fakes.still import StillRuntime

from outlast.bucket.generations import read_pointer
from outlast.bucket.manifest import hash_bytes
from outlast.bucket.outcomes import Applied, Fenced, Identity, Stop
from outlast.bucket.owner import PointerOwner
from outlast.ports import Bucket
from outlast.protocol.messages import Permission
from outlast.protocol.objects import Confidence, FileEntry, PointerState, checkpoint_name, data_prefix
from outlast.save.types import Draft


def _owner(bucket: Bucket, generation: int, owner: str = OWNER, job: str = JOB) -> PointerOwner:
    me = Identity(owner, job, generation, f"w{generation}", f"attempt-{generation}")
    return PointerOwner(StillRuntime(), bucket, me, lambda kind, why, data: None, keep=1)


def _draft(bucket: Bucket, step: int, generation: int, owner: PointerOwner) -> Draft:
    name = checkpoint_name(step, generation, "aa")
    body, key = b"model at step %d" % step, data_prefix(name) + "model"
    bucket.upload(key, Bytes(body), lambda done: None)
    entry = FileEntry("model", key, len(body), hash_bytes(body))
    base = owner.pointer.head if owner.pointer else None
    return Draft(name, step, "folder", Confidence.STRONG, (entry,), base)


def test_claim_advance_release_and_the_next_attempt_goes_on(bucket: Bucket) -> None:
    one, two = _owner(bucket, 1), _owner(bucket, 2)
    assert isinstance(one.claim(Permission()), Applied)
    for step in (10, 20):
        assert isinstance(one.commit(_draft(bucket, step, 1, one)), Applied)
    assert isinstance(one.release("drained"), Applied)
    assert isinstance(two.claim(Permission()), Applied)
    assert isinstance(one.commit(_draft(bucket, 30, 1, one)), Fenced)
    assert isinstance(two.end(0, "done"), Applied)
    found = read_pointer(bucket, OWNER, JOB)
    assert found is not None
    pointer = found[0]
    assert (pointer.generation, pointer.state) == (2, PointerState.ENDED)
    assert pointer.head is not None
    assert pointer.head.step == 20
    key = data_prefix(pointer.head.name) + "model"
    assert b"".join(bucket.stream(key, 0, 16)) == b"model at step 20"


def test_a_second_owner_or_job_on_one_prefix_is_refused_in_one_clear_line(bucket: Bucket) -> None:
    first = _owner(bucket, 1)
    assert isinstance(first.claim(Permission()), Applied)
    first.release("done")
    before = bucket.get("latest.json")
    for other, says in (
        (_owner(bucket, 9, owner="owner-2"), "belongs to owner 'owner-1', not to 'owner-2': two servers"),
        (_owner(bucket, 9, job="job-2"), "belongs to job 'job-1', not to 'job-2': two jobs"),
    ):
        outcome = other.claim(Permission())
        assert isinstance(outcome, Stop)
        assert says in outcome.why
        assert "give each its own" in outcome.why
        assert "\n" not in outcome.why
    assert bucket.get("latest.json") == before
