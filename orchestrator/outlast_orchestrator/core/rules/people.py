"""Rule 4: what people want, and what it makes of the job. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.rules.ending import fail
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import JobState, Wanted


class GoalKind(str, enum.Enum):
    RUN = "run"
    REST = "rest"  # nothing may run; what runs is drained


@dataclass(frozen=True)
class Goal:
    kind: GoalKind
    why: str
    restart: bool = False  # what runs now is drained first, then the next attempt is planned

    @property
    def rests(self) -> bool:
        return self.kind is GoalKind.REST


_WANTED = Goal(GoalKind.RUN, "wanted")
_WANTED_ANEW = Goal(GoalKind.RUN, "wanted", restart=True)
_DONE = Goal(GoalKind.REST, "the job is done")


def note_wish(sheet: Sheet) -> None:
    """When a wish is first seen. A person may have put the bucket right before it: what was read until
    then does not answer it."""
    number = sheet.view.job.wanted_number
    if number != sheet.progress.wish_number:
        sheet.set_progress(wish_number=number, wish_at=sheet.view.now_at)


def heed_people(sheet: Sheet) -> None:
    """Takes a new wish over into the progress."""
    job = sheet.view.job
    if job.wanted_number != sheet.progress.handled_number:
        _take_wish(sheet)
        sheet.set_progress(handled_number=job.wanted_number)
    _heed_duration(sheet)


def goal_of(sheet: Sheet) -> Goal:
    """What is to be striven for, as things stand at this point of the decision."""
    job, state = sheet.view.job, sheet.progress.state
    if job.wanted is Wanted.CANCELLED:
        return Goal(GoalKind.REST, job.wanted_by or "cancelled")
    if state is JobState.SUCCEEDED:
        return _DONE
    if state is JobState.FAILED:
        return Goal(GoalKind.REST, sheet.progress.why)
    if job.wanted is Wanted.PAUSED:
        return Goal(GoalKind.REST, job.wanted_by or "paused")
    return _WANTED_ANEW if job.restart.number > sheet.progress.restart_done else _WANTED


def _take_wish(sheet: Sheet) -> None:
    job, progress = sheet.view.job, sheet.progress
    if job.wanted is not Wanted.RUN:
        return
    asked_again = job.restart.number > progress.restart_done
    failed = progress.state is JobState.FAILED and job.wanted_number > progress.failed_number
    rested = progress.state in (JobState.PAUSED, JobState.CANCELLED)
    done_but_asked = progress.state is JobState.SUCCEEDED and asked_again
    if not (failed or rested or done_but_asked or asked_again):
        return
    pointer = sheet.view.pointer.pointer
    ended = pointer is not None and pointer.state is PointerState.ENDED
    sheet.set_progress(
        failures=0,
        fruitless=0,
        unhealthy=0,
        retry_at=0.0,
        exit_code=None,
        pending_over_ended=pointer.writer if ended and pointer is not None else progress.pending_over_ended,
        # A pause in between takes nothing back: who chose a checkpoint gets it, or hears that it is too late.
        pending_start_from=job.restart.start_from if asked_again else progress.pending_start_from,
    )
    if failed or rested or done_but_asked:
        started = progress.generation_max > 0
        state = JobState.RECOVERING if started else JobState.PENDING
        sheet.become(state, job.wanted_by or "continued by a person")


def _heed_duration(sheet: Sheet) -> None:
    limit_s = sheet.view.job.max_duration_s
    running = sheet.progress.state not in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
    if limit_s is None or not running:
        return
    age_s = sheet.view.now_at - sheet.view.job.created_at
    if age_s > limit_s:
        fail(sheet, f"max_duration: the job was submitted {age_s:.0f} s ago, its limit is {limit_s:.0f} s")
    else:
        sheet.wake_in(limit_s - age_s)
