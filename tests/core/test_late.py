"""Words that come late: an end that was written after the closing, a node that has not said that it left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.core.build import (
    NOW_AT,
    REF,
    actions,
    after,
    attempt,
    decided,
    events,
    heard,
    machine,
    pointer,
    told,
    view,
    waiting,
)

from outlast.protocol.messages import AgentState, CommandKind, WriterRef
from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.actions import Launch
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.types import Attempt, AttemptPhase, Closing, JobState, Progress
from outlast_orchestrator.core.view import JobView

CLOSED = attempt(1, "m1", phase=AttemptPhase.CLOSED, closing=Closing("silent beyond the lease"))

LOST = Progress("j1", JobState.RECOVERING, "lost", generation_max=2, durable=REF, handled_number=0)


def recovering(code: int, *attempts: Attempt, **more: Any) -> JobView:
    """Generation 1 was closed as lost and then woke, and ended, before anybody claimed over it."""
    progress = Progress(
        "j1",
        JobState.RECOVERING,
        "lost",
        generation_max=2,
        durable=REF,
        handled_number=0,
        closed=((1, "w1"),),
    )
    ended = pointer(1, PointerState.ENDED, exit_code=code)
    spare = machine("m2", heard("m2", 2, AgentState.WAITING))
    values: dict[str, Any] = {"progress": progress, "attempts": attempts, "instances": (spare,)}
    return view(**{**values, "pointer_": ended, **more})


def test_a_success_that_was_written_after_the_attempt_was_closed_is_a_success() -> None:
    view_ = after(recovering(0, CLOSED, waiting(2, "m2")))
    assert view_.progress.state is JobState.SUCCEEDED
    assert [command.kind for command in told(decided(view_), "m2") or ()] == [CommandKind.ABANDON]
    assert not events(decided(view_), Kind.ATTEMPT_ENDED_LATE)  # it is told once


def test_a_late_claim_that_ended_before_anybody_looked_is_an_end_too() -> None:
    never_seen_claiming = replace(CLOSED, claimed=False)
    assert after(recovering(0, never_seen_claiming, waiting(2, "m2"))).progress.state is JobState.SUCCEEDED


def test_a_crash_that_was_written_late_counts_and_the_one_that_waits_may_continue_it() -> None:
    view_ = after(recovering(7, CLOSED, waiting(2, "m2")))
    assert view_.progress.failures == 1
    run = (told(decided(view_), "m2") or ())[-1]
    assert run.kind is CommandKind.RUN
    assert run.permission is not None
    assert run.permission.over_ended == WriterRef(1, "w1")
    assert after(view_).progress.failures == 1  # once


def test_who_waits_for_a_noticed_attempt_may_continue_it_when_it_crashes() -> None:
    noticed = attempt(1, "m1", noticed=True)
    progress = Progress("j1", JobState.RECOVERING, "moved", generation_max=2, durable=REF, handled_number=0)
    view_ = view(
        progress=progress,
        attempts=(noticed, waiting(2, "m2")),
        instances=(
            machine("m1", heard("m1", 1, AgentState.ENDED)),
            machine("m2", heard("m2", 2, AgentState.WAITING)),
        ),
        pointer_=pointer(1, PointerState.ENDED, exit_code=7),
    )
    crashed = after(view_)
    assert crashed.progress.failures == 1
    run = (told(decided(crashed), "m2") or ())[-1]
    assert run.kind is CommandKind.RUN
    assert run.permission is not None
    assert run.permission.over_ended == WriterRef(1, "w1")


def test_a_late_crash_does_not_wake_a_job_that_is_over() -> None:
    before = recovering(7, CLOSED)
    cancelled = replace(before, progress=replace(before.progress, state=JobState.CANCELLED))
    assert after(cancelled).progress.state is JobState.CANCELLED


def planned(state: AgentState, age_s: float) -> JobView:
    """Generation 1 has released; 2 wants a machine, and m1 reports `state`."""
    released = replace(CLOSED, closing=Closing("it released the job"))
    wanting = replace(waiting(2, phase=AttemptPhase.PREPARING), planned_at=NOW_AT - age_s)
    return view(
        progress=LOST,
        attempts=(released, wanting),
        instances=(machine("m1", heard("m1", 1, state)),),
        pointer_=pointer(1, PointerState.RELEASED),
    )


def test_a_machine_serves_again_only_when_its_node_says_that_it_is_free() -> None:
    """It may have left on a notice that could not be told yet (simulation, seed 39)."""
    said = after(planned(AgentState.RELEASED, age_s=1.0))
    assert said.attempts[-1].launches == ("m1",)
    unsaid = decided(planned(AgentState.RUNNING, age_s=1.0))
    assert not actions(unsaid, Launch)
    assert after(planned(AgentState.RUNNING, age_s=1.0), unsaid).attempts[-1].launches == ()


def test_nobody_waits_long_for_that_word() -> None:
    assert actions(decided(planned(AgentState.RUNNING, age_s=60.0)), Launch)
