"""The table of the claim, cell by cell, and what a reading means to an owner."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.agent.bucket.make import JOB, OWNER, me, pointer, ref

from outlast.bucket.outcomes import Applied, ClaimAsk, Fenced, Mine, Over, Stop, Wait, Write
from outlast.bucket.pointer import BadPointer, judge_claim, judge_own, parse_pointer
from outlast.protocol.codec import dump
from outlast.protocol.messages import Permission, WriterRef
from outlast.protocol.objects import InstanceRef, Pointer, PointerState

A, B, C = ref(10), ref(20), ref(30)
RUNNING, RELEASED, ENDED = PointerState.RUNNING, PointerState.RELEASED, PointerState.ENDED
AT = "2026-02-02T00:00:00Z"


def ask(permission: Permission | None = None, generation: int = 5, *, claimed: bool = False) -> ClaimAsk:
    identity = replace(me(generation), instances=(InstanceRef("cloud", "region", "i-1"),))
    return ClaimAsk(identity, permission or Permission(), AT, claimed)


def them(generation: int = 4) -> WriterRef:
    return WriterRef(generation, f"w{generation}")


# the pointer is absent


def test_the_first_claim_of_a_job_starts_with_nothing() -> None:
    verdict = judge_claim(None, ask())
    assert isinstance(verdict, Write)
    written = verdict.pointer
    assert (written.generation, written.writer, written.seq, written.state) == (5, "w5", 1, RUNNING)
    assert (written.head, written.kept, written.instances) == (
        None,
        (),
        (InstanceRef("cloud", "region", "i-1"),),
    )


def test_an_absent_pointer_with_a_durable_step_stops_and_never_starts_at_zero() -> None:
    verdict = judge_claim(None, ask(Permission(durable_step=1200)))
    assert isinstance(verdict, Stop)
    assert "1200" in verdict.why


def test_a_pointer_that_names_nothing_with_a_durable_step_stops_too() -> None:
    verdict = judge_claim(pointer(4, state=RELEASED), ask(Permission(durable_step=1200)))
    assert isinstance(verdict, Stop)
    assert "1200" in verdict.why


def test_durable_step_zero_is_a_durable_step() -> None:
    assert isinstance(judge_claim(None, ask(Permission(durable_step=0))), Stop)


@pytest.mark.parametrize("past", [Permission(closed=(them(),)), Permission(over_ended=them())])
def test_an_absent_pointer_after_any_claim_that_is_known_of_stops(past: Permission) -> None:
    verdict = judge_claim(None, ask(past))
    assert isinstance(verdict, Stop)
    assert "generation 4 had claimed" in verdict.why


def test_an_absent_pointer_after_the_own_claim_is_an_alarm() -> None:
    assert isinstance(judge_claim(None, ask(claimed=True)), Stop)


def test_a_chosen_checkpoint_needs_a_pointer_that_keeps_it() -> None:
    assert isinstance(judge_claim(None, ask(Permission(start_from=A))), Stop)


# a lower generation

OLD = {
    RUNNING: pointer(4, kept=(A, B)),
    RELEASED: pointer(4, state=RELEASED, kept=(A, B)),
    ENDED: pointer(4, state=ENDED, kept=(A, B), exit_code=3),
}
PERMISSIONS = {
    "none": Permission(),
    "closed": Permission(closed=(them(),)),
    "closed generation of another writer": Permission(closed=(WriterRef(4, "another"),)),
    "closed writer of another generation": Permission(closed=(WriterRef(3, "w4"),)),
    "over ended": Permission(over_ended=them()),
    "over another ended": Permission(over_ended=WriterRef(4, "another")),
    "over an older ended": Permission(over_ended=WriterRef(3, "w4")),
}
ALLOWED = {
    (RUNNING, "closed"),
    (ENDED, "over ended"),
    *((RELEASED, permission) for permission in PERMISSIONS),
}


@pytest.mark.parametrize("state", list(PointerState))
@pytest.mark.parametrize("permission", PERMISSIONS)
def test_who_may_be_stepped_over(state: PointerState, permission: str) -> None:
    verdict = judge_claim(OLD[state], ask(PERMISSIONS[permission]))
    assert isinstance(verdict, Write if (state, permission) in ALLOWED else Wait), verdict


@pytest.mark.parametrize("state", list(PointerState))
@pytest.mark.parametrize("permission", ["over another ended", "over an older ended"])
def test_a_permission_that_no_longer_matches_is_told(state: PointerState, permission: str) -> None:
    assert "was dropped" in judge_claim(OLD[state], ask(PERMISSIONS[permission])).why


def test_a_claim_changes_who_owns_the_job_and_nothing_that_is_kept() -> None:
    found = pointer(4, state=ENDED, kept=(A, B, C), head=B, pinned=(A.name,), exit_code=3)
    verdict = judge_claim(found, ask(Permission(over_ended=them())))
    assert isinstance(verdict, Write)
    assert verdict.pointer == replace(
        found,
        generation=5,
        writer="w5",
        instances=(InstanceRef("cloud", "region", "i-1"),),
        seq=found.seq + 1,
        state=RUNNING,
        exit_code=None,
        at=AT,
        why=verdict.pointer.why,
        started_from=B,
        started_why="the head",
    )


def test_a_chosen_checkpoint_becomes_the_head() -> None:
    verdict = judge_claim(OLD[RELEASED], ask(Permission(start_from=A)))
    assert isinstance(verdict, Write)
    assert (verdict.pointer.head, verdict.pointer.started_from, verdict.pointer.kept) == (A, A, (A, B))
    assert "person" in verdict.pointer.started_why


@pytest.mark.parametrize("chosen", [C, replace(A, hash="xxh3-128:other")])
def test_a_chosen_checkpoint_that_is_not_kept_is_too_late(chosen: object) -> None:
    verdict = judge_claim(OLD[RELEASED], ask(Permission(start_from=chosen)))  # type: ignore[arg-type]
    assert isinstance(verdict, Stop)
    assert "too late" in verdict.why


def test_a_chosen_checkpoint_does_not_replace_the_permission() -> None:
    assert isinstance(judge_claim(OLD[RUNNING], ask(Permission(start_from=A))), Wait)
    assert isinstance(judge_claim(OLD[ENDED], ask(Permission(start_from=A))), Wait)


def test_order_is_by_generation_and_never_by_step() -> None:
    low = pointer(4, state=RELEASED, kept=(ref(9999, 3), ref(5, 4)))
    verdict = judge_claim(low, ask(Permission(durable_step=9999)))
    assert isinstance(verdict, Write)
    assert verdict.pointer.head == ref(5, 4)


def test_a_lower_generation_after_the_own_claim_is_an_alarm() -> None:
    for state in PointerState:
        verdict = judge_claim(OLD[state], ask(Permission(closed=(them(),)), claimed=True))
        assert isinstance(verdict, Stop)
        assert "went back" in verdict.why


# the same generation and higher ones


def test_the_own_generation_and_writer_mean_that_the_claim_took_place() -> None:
    verdict = judge_claim(pointer(5, kept=(A,)), ask())
    assert isinstance(verdict, Applied)


@pytest.mark.parametrize("state", [RELEASED, ENDED])
def test_a_writer_that_is_over_never_claims_again(state: PointerState) -> None:
    assert isinstance(judge_claim(pointer(5, state=state), ask(Permission(over_ended=them(5)))), Over)


@pytest.mark.parametrize("state", list(PointerState))
@pytest.mark.parametrize("found", [pointer(5, writer="another"), pointer(6), pointer(6, writer="w5")])
def test_another_writer_or_a_higher_generation_fences(state: PointerState, found: Pointer) -> None:
    permission = Permission(closed=(WriterRef(found.generation, found.writer),))
    assert isinstance(judge_claim(replace(found, state=state), ask(permission)), Fenced)
    assert isinstance(judge_own(replace(found, state=state), me(5), None, claimed=True), Fenced)


@pytest.mark.parametrize("foreign", [{"owner": "another"}, {"job": "another"}])
def test_a_foreign_pointer_stops(foreign: dict[str, str]) -> None:
    found = replace(pointer(4, state=RELEASED), **foreign)  # type: ignore[arg-type]
    assert isinstance(judge_claim(found, ask()), Stop)
    assert isinstance(judge_own(found, me(5), None, claimed=True), Stop)


# the owner's readings


def test_only_the_very_body_counts_as_applied() -> None:
    sent = pointer(5, kept=(A, B), seq=8)
    assert isinstance(judge_own(sent, me(5), sent, claimed=True), Applied)
    assert isinstance(judge_own(replace(sent, seq=7), me(5), sent, claimed=True), Mine)
    assert isinstance(judge_own(replace(sent, kept=(B,)), me(5), sent, claimed=True), Mine)
    assert isinstance(judge_own(sent, me(5), None, claimed=True), Mine)


@pytest.mark.parametrize("state", [RELEASED, ENDED])
def test_what_is_released_or_ended_is_over(state: PointerState) -> None:
    found = pointer(5, state=state)
    assert isinstance(judge_own(found, me(5), None, claimed=True), Over)
    assert isinstance(judge_own(found, me(5), found, claimed=True), Applied)


def test_nothing_or_an_older_one_is_normal_before_the_claim_and_an_alarm_after() -> None:
    assert isinstance(judge_own(None, me(5), None, claimed=False), Wait)
    assert isinstance(judge_own(pointer(4), me(5), None, claimed=False), Wait)
    assert isinstance(judge_own(None, me(5), None, claimed=True), Stop)
    assert isinstance(judge_own(pointer(4), me(5), None, claimed=True), Stop)


# garbage

GARBAGE = {
    "empty": b"",
    "binary": b"\x00\xff\x80",
    "a list": b"[]",
    "cut off": dump(pointer())[:-10],
    "a wrong type": dump(pointer()).replace(b'"generation":1', b'"generation":"1"'),
    "no generation": dump(replace(pointer(), generation=0)),
    "another format": dump(replace(pointer(), format=2)),
    "another job": dump(replace(pointer(), job="another")),
    "another owner": dump(replace(pointer(), owner="another")),
    "a head that is not kept": dump(pointer(kept=(A,), head=B)),
    "a key outside": dump(pointer(kept=(replace(A, key="../../manifests/000000010-g1-aa.json"),))),
    "a key that is no manifest": dump(pointer(kept=(replace(A, key="latest.json"),))),
    "a checkpoint twice": dump(pointer(kept=(A, A))),
    "an unknown state": dump(pointer()).replace(b"running", b"walking"),
    "huge": b" " * (5 << 20),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_told_in_one_line_and_never_taken_for_a_pointer(kind: str) -> None:
    with pytest.raises(BadPointer, match=r"latest\.json") as caught:
        parse_pointer(GARBAGE[kind], OWNER, JOB)
    assert "\n" not in str(caught.value)


def test_fields_of_a_newer_version_are_ignored() -> None:
    body = dump(pointer(kept=(A,)))[:-1] + b',"new_field":{"x":1}}'
    assert parse_pointer(body, OWNER, JOB) == pointer(kept=(A,))


def test_any_owner_is_accepted_when_none_is_asked_for() -> None:
    assert parse_pointer(dump(replace(pointer(), owner="lost")), None, JOB).owner == "lost"
