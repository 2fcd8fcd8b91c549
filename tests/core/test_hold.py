"""A restart from a checkpoint: held first, drained when the hold is listed, then claimed from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.core.build import (
    JOB,
    NOW_S,
    REF,
    actions,
    after,
    attempt,
    decided,
    events,
    heard,
    machine,
    pointer,
    running,
    told,
    view,
    waiting,
)

from outlast.protocol.messages import AgentState, CommandKind
from outlast.protocol.objects import ManifestRef, Pointer, PointerState
from outlast_orchestrator.core.actions import Hold, ReadPointer, TakeGeneration
from outlast_orchestrator.core.errors import BucketError
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.types import Job, JobState, Progress, Restart, Wanted
from outlast_orchestrator.core.view import Call, CallDone, CallKind, JobView, PointerSeen

OLD = ManifestRef("manifests/000000050-g1-bb.json", "xxh3-128:11", 50)
BOTH: dict[str, Any] = {"kept": (OLD, REF)}
HOLDING = Call(CallKind.HOLD, "j1")


def _wished(**more: object) -> Job:
    values: dict[str, object] = {"restart": Restart(1, OLD), "wanted_number": 1, **more}
    return replace(JOB, **values)  # type: ignore[arg-type]


def _runs(found: Pointer, **more: Any) -> JobView:
    return running(job=_wished(), pointer_=found, **more)


def _kinds(found: JobView) -> list[CommandKind]:
    return [command.kind for command in told(decided(found), "m1") or ()]


def _put(found: JobView, name: str = OLD.name, problem: str = "") -> JobView:
    """The next tick, with the answer to the hold."""
    return replace(after(found), done=(CallDone(HOLDING, name=name, problem=problem),))


def test_what_runs_is_drained_only_when_the_pointer_lists_the_hold() -> None:
    begun = _runs(pointer(1, **BOTH))
    decision = decided(begun)
    assert actions(decision, Hold) == [Hold("j1", OLD.name)]
    assert after(begun, decision).progress.hold == OLD.name  # in the same decision: never forgotten there
    assert _kinds(begun) == []
    put = _put(begun)
    assert actions(decided(put), Hold) == []
    assert _kinds(put) == []
    assert "is held" in after(put).progress.why
    listed = replace(put, pointer=PointerSeen(NOW_S, pointer(1, pinned=(OLD.name,), **BOTH), ""))
    assert _kinds(listed) == [CommandKind.DRAIN]


def test_a_pin_that_a_person_has_made_is_not_the_hold() -> None:
    """It may be taken away in the next moment; only what was listed with our hold there is safe."""
    pinned = _runs(pointer(1, pinned=(OLD.name,), **BOTH))
    assert _kinds(pinned) == []
    assert _kinds(_put(pinned)) == [CommandKind.DRAIN]


def test_a_hold_that_failed_is_tried_again() -> None:
    failed = _put(_runs(pointer(1, **BOTH)), name="", problem=str(BucketError("no")))
    assert actions(decided(failed), Hold) == [Hold("j1", OLD.name)]
    under_way = replace(failed, in_flight=frozenset({HOLDING}))
    assert actions(decided(under_way), Hold) == []


@pytest.mark.parametrize("state", [PointerState.RELEASED, PointerState.ENDED])
def test_when_nobody_runs_it_is_claimed_from_at_once(state: PointerState) -> None:
    over = view(
        job=_wished(),
        progress=Progress("j1", JobState.FAILED, "no", generation_max=1, durable=REF, failed_number=0),
        attempts=(attempt(1, closing=None, phase=attempt(1).phase.CLOSED),),
        pointer_=pointer(1, state, exit_code=3, **BOTH),
    )
    assert actions(decided(over), TakeGeneration) == [TakeGeneration("j1", 2)]
    done = CallDone(Call(CallKind.GENERATION, "j1"), generation=2)
    assert after(replace(after(over), done=(done,))).attempts[-1].start_from == OLD


def test_what_has_left_is_told_as_too_late_and_the_job_goes_on() -> None:
    late = _runs(pointer(1))
    decision = decided(late)
    assert "too late to restart from step 50" in events(decision, Kind.TELL)[0].why
    gone = after(late, decision)
    assert (gone.progress.pending_start_from, gone.progress.restart_done) == (None, 1)
    assert gone.progress.state is JobState.RUNNING
    assert _kinds(gone) == []
    assert events(decided(gone), Kind.TELL) == []


def test_that_it_has_left_is_believed_only_of_a_fresh_reading() -> None:
    late = _runs(pointer(1))
    stale = replace(late, pointer=replace(late.pointer, begun_s=NOW_S - 20))
    decision = decided(stale)
    assert events(decision, Kind.TELL) == []
    assert actions(decision, ReadPointer)


def test_the_hold_goes_when_the_restart_has_claimed() -> None:
    progress = Progress(
        "j1", JobState.RECOVERING, "", generation_max=2, durable=REF, handled_number=1, restart_done=1,
        pending_start_from=OLD, hold=OLD.name, hold_done=True,
    )  # fmt: skip
    claimed = view(
        job=_wished(),
        progress=progress,
        attempts=(waiting(2, "m1", start_from=OLD),),
        instances=(machine("m1", heard("m1", 2, AgentState.RESTORING)),),
        pointer_=pointer(2, head=OLD, started_from=OLD, pinned=(OLD.name,), **BOTH),
    )
    assert actions(decided(claimed), Hold) == [Hold("j1", "")]
    gone = after(_put(claimed, name=""))
    assert (gone.progress.hold, gone.progress.hold_done) == ("", False)
    assert actions(decided(gone), Hold) == []


def test_a_late_claim_of_an_attempt_planned_before_the_wish_takes_it_not_away() -> None:
    progress = replace(running().progress, generation_max=2, pending_start_from=OLD, handled_number=1)
    late = view(
        job=_wished(),
        progress=replace(progress, hold=OLD.name, hold_done=True),
        attempts=(waiting(2, "m1", abandoned=True, abandoned_why="a restart"),),
        instances=(machine("m1", heard("m1", 2, AgentState.RESTORING)),),
        pointer_=pointer(2, **BOTH),
    )
    kept = after(late)
    assert kept.progress.pending_start_from == OLD
    assert kept.attempts[-1].draining_since is None  # it too may let the checkpoint go


def test_a_pause_in_between_takes_the_choice_not_back() -> None:
    progress = Progress(
        "j1", JobState.PAUSED, "", generation_max=2, durable=REF, handled_number=2, restart_done=1,
        pending_start_from=OLD, hold=OLD.name, hold_done=True,
    )  # fmt: skip
    resumed = view(
        job=_wished(wanted=Wanted.RUN, wanted_number=3),
        progress=progress,
        pointer_=pointer(1, PointerState.RELEASED, **BOTH),
    )
    assert after(resumed).progress.pending_start_from == OLD
