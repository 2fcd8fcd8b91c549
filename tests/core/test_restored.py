"""A store from a backup: what it does not know is taken over, what it wrongly believes is put right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.core.build import (
    JOB,
    NOW_AT,
    REF,
    actions,
    after,
    attempt,
    decided,
    events,
    heard,
    lost,
    machine,
    pointer,
    record,
    told,
    view,
    waiting,
)

from outlast.protocol.messages import AgentState, CommandKind
from outlast.protocol.objects import InstanceRef, Pointer, PointerState
from outlast_orchestrator.core.actions import Decision, Launch, Rewish, TakeGeneration, Tell, Terminate
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.types import InstancePhase, JobState, Progress, Restart, Wanted
from outlast_orchestrator.core.view import EndProof, JobView


def _progress(state: JobState = JobState.RUNNING, **more: Any) -> Progress:
    values: dict[str, Any] = {"generation_max": 3, "durable": REF, "handled_number": 0, "restored": True}
    return Progress("j1", state, "as yesterday", NOW_AT - 90_000, **{**values, **more})


def _owner(
    generation: int, *launches: str, state: PointerState = PointerState.RUNNING, **more: Any
) -> Pointer:
    refs = tuple(InstanceRef("here", "r1", f"i-{launch}") for launch in launches)
    return replace(pointer(generation, state, **more), instances=refs)


def _found(launch: str, **more: Any) -> Any:
    """Its record was made from a listing just now."""
    return machine(
        launch, record=record(launch, InstancePhase.BOOTING, installed=False, adopted=True), **more
    )


def _restored(**more: Any) -> JobView:
    """Generation 3 ran on m3 yesterday; generation 7 runs on m7 today, and m7 was found in the listing."""
    values: dict[str, Any] = {
        "progress": _progress(),
        "attempts": (attempt(3, "m3"),),
        "instances": (_found("m7"),),
        "pointer_": _owner(7, "m7"),
        "listening_s": 30.0,
    }
    return view(**{**values, **more})


def _harmless(decision: Decision) -> None:
    assert not actions(decision, Launch)
    assert not actions(decision, Terminate)
    assert not actions(decision, TakeGeneration)
    assert not events(decision, Kind.INSTANCE_TERMINATING)


@pytest.mark.parametrize("from_backup", [True, False])
def test_a_machine_that_was_ended_after_the_backup_accuses_nobody(from_backup: bool) -> None:
    """The terminate call may have been our own: the job goes on. Once it was heard, an end is known again."""
    progress = _progress() if from_backup else replace(_progress(), restored=False)
    gone = replace(lost("m3", 3, EndProof.OURS_OR_PERSON), heard=None)
    now = _restored(progress=progress, instances=(gone,), pointer_=_owner(3, "m3"))
    for _ in range(3):
        now = after(now, decided(now))
    assert (now.progress.state is JobState.FAILED) is not from_backup


def test_a_machine_that_speaks_after_the_restore_is_known_again() -> None:
    seen = _restored(instances=(_found("m7"),))
    unheard = after(seen, decided(seen))
    assert unheard.instances[0].record.from_backup
    spoken = replace(unheard.instances[0], heard=heard("m7", 7, AgentState.RUNNING))
    later = replace(unheard, instances=(spoken,))
    assert not after(later, decided(later)).instances[0].record.from_backup


def _lives_on(seen: JobView) -> JobView:
    """Three ticks later nothing was launched, ended or planned."""
    for _ in range(3):
        decision = decided(seen)
        _harmless(decision)
        seen = after(seen, decision)
    return seen


def test_the_owner_of_today_is_adopted_with_its_machine_and_keeps_it() -> None:
    seen = _lives_on(_restored())
    (mine,) = [one for one in seen.attempts if one.open]
    assert (mine.generation, mine.launches, mine.claimed, mine.start_step) == (7, ("m7",), True, 0)
    assert not seen.progress.restored
    assert seen.progress.generation_max == 7


def test_a_machine_that_is_listed_only_after_its_owner_was_adopted_is_linked_and_not_ended() -> None:
    seen = _lives_on(_restored(instances=()))
    assert [one.launches for one in seen.attempts if one.open] == [()]
    seen = _lives_on(replace(seen, instances=(_found("m7"),)))
    assert [one.launches for one in seen.attempts if one.open] == [("m7",)]


def test_an_attempt_that_had_no_machine_yet_in_the_backup_is_linked_too() -> None:
    seen = _restored(attempts=(waiting(3),), pointer_=_owner(3, "m7"))
    seen = _lives_on(seen)
    (mine,) = seen.attempts
    assert (mine.generation, mine.launches, mine.claimed) == (3, ("m7",), True)


def test_the_ranks_of_a_gang_are_in_the_order_of_the_pointer() -> None:
    seen = _restored(instances=(_found("a"), _found("b")), pointer_=_owner(7, "b", "a"))
    assert [one.launches for one in after(seen).attempts if one.open] == [("b", "a")]


def test_an_unclaimed_attempt_of_yesterday_gets_no_machine_and_no_permission() -> None:
    """Below the pointer it could never claim: it would launch machines, and be refused for ever."""
    released = _owner(7, "m7", state=PointerState.RELEASED, why="notice: terminate")
    seen = _restored(attempts=(attempt(3, "m3"), waiting(4)), instances=(), pointer_=released)
    decision = decided(seen)
    assert not actions(decision, Launch)
    assert [action.at_least for action in actions(decision, TakeGeneration)] == [8]
    assert not any(one.open for one in after(seen, decision).attempts)


def test_a_node_at_work_for_an_unknown_generation_is_adopted_with_it() -> None:
    ready = _found("m8", heard_=heard("m8", 8, AgentState.WAITING, attempt="a8", writer="w8"))
    noticed = _owner(7, "m7")
    seen = _restored(instances=(_found("m7"), ready), pointer_=noticed)
    decision = decided(seen)
    _harmless(decision)
    mine = {one.generation: one for one in after(seen, decision).attempts if one.open}
    assert (mine[8].id, mine[8].launches, mine[8].claimed) == ("a8", ("m8",), False)


def test_a_found_machine_whose_agent_is_silent_is_not_ended_before_it_could_speak() -> None:
    seen = _restored(instances=(_found("m7"), _found("m8", unheard_s=100.0)))
    _lives_on(seen)
    late = _restored(instances=(_found("m7"), _found("m8", unheard_s=601.0)))
    assert [one.data["launch"] for one in events(decided(late), Kind.INSTANCE_TERMINATING)] == ["m8"]


def test_a_job_that_was_continued_after_the_backup_runs_on() -> None:
    for state in (JobState.FAILED, JobState.SUCCEEDED):
        seen = _lives_on(_restored(progress=_progress(state)))
        assert seen.progress.state not in (JobState.FAILED, JobState.SUCCEEDED)


def test_a_wish_that_is_older_than_what_runs_is_put_right_before_anything_else() -> None:
    for wanted in (Wanted.PAUSED, Wanted.CANCELLED):
        seen = _restored(job=replace(JOB, wanted=wanted, wanted_number=4))
        decision = decided(seen)
        (rewish,) = actions(decision, Rewish)
        _harmless(decision)
        assert after(seen, decision).progress.restored
        assert not actions(decision, Tell)
        assert (rewish.job.wanted, rewish.job.wanted_number) == (Wanted.RUN, 5)
        mended = _lives_on(replace(seen, job=rewish.job))
        assert [one.draining_since for one in mended.attempts if one.open] == [None]


def test_a_restart_that_was_answered_after_the_backup_is_not_done_again() -> None:
    job = replace(JOB, restart=Restart(2), wanted_number=2)
    seen = _lives_on(_restored(job=job, progress=_progress(restart_done=1)))
    assert told(decided(seen), "m7") == ()


def test_a_job_that_left_when_told_to_is_not_started_again_and_that_is_told() -> None:
    """A person may have cancelled it since the backup: that wish is lost with the store."""
    for generation in (3, 7):
        gone = _owner(generation, "m7", state=PointerState.RELEASED, why="told to drain: cancelled by ann")
        seen = _restored(instances=(), pointer_=gone)
        decision = decided(seen)
        _harmless(decision)
        assert after(seen, decision).progress.state is JobState.FAILED
        (tell,) = events(decision, Kind.TELL)
        assert "cancelled by ann" in tell.why
        assert "outlast resume job" in tell.why


def test_a_job_that_left_on_a_notice_goes_on_by_itself() -> None:
    gone = _owner(7, "m7", state=PointerState.RELEASED, why="notice: terminate")
    decision = decided(_restored(instances=(), pointer_=gone))
    assert [action.at_least for action in actions(decision, TakeGeneration)] == [8]


def test_a_drain_that_the_backup_knows_of_is_no_riddle() -> None:
    gone = _owner(3, "m3", state=PointerState.RELEASED, why="told to drain: moved")
    seen = _restored(attempts=(attempt(3, "m3", draining_since=NOW_AT - 9),), instances=(), pointer_=gone)
    assert [action.at_least for action in actions(decided(seen), TakeGeneration)] == [4]


def test_without_a_restore_a_release_by_order_is_only_that() -> None:
    gone = _owner(3, "m3", state=PointerState.RELEASED, why="told to drain: moved")
    seen = _restored(progress=_progress(restored=False), instances=(), pointer_=gone)
    assert actions(decided(seen), TakeGeneration)


def test_nothing_is_settled_on_a_pointer_that_can_not_be_read() -> None:
    seen = _restored()
    seen = replace(seen, pointer=replace(seen.pointer, problem="away"))
    decision = decided(seen)
    _harmless(decision)
    assert after(seen, decision).progress.restored
    assert not [c for c in told(decision, "m7") or () if c.kind is not CommandKind.SAVE]
