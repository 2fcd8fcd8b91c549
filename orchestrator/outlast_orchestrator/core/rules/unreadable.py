"""Rule 3, when the pointer can't be read or understood: nothing is planned, and what works goes on. Pure."""

from __future__ import annotations

from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.evidence import gone, is_silent
from outlast_orchestrator.core.rules.claimed import has_given_up, terminate
from outlast_orchestrator.core.rules.ending import resume_hint
from outlast_orchestrator.core.rules.pointer import pointer_is_fresh
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import Attempt, InstancePhase, JobState, Wanted
from outlast_orchestrator.core.view import NEVER_S

RESTING = (JobState.PAUSED, JobState.SUCCEEDED, JobState.CANCELLED)


def hold_still(sheet: Sheet) -> None:
    """Who owns the job is not known. Garbage stays garbage, so then it is stopped once nothing works."""
    pointer = sheet.view.pointer
    if pointer.garbage and not any(_is_at_work(sheet, attempt) for attempt in sheet.open_attempts()):
        why = f"latest.json can't be understood: {pointer.problem}"
        _stop(sheet, why)
        _end_machines(sheet, why)
    elif pointer.begun_s > NEVER_S and sheet.progress.state not in (JobState.FAILED, *RESTING):
        sheet.set_progress(why=f"nothing is planned: latest.json can't be read ({pointer.problem})")


def _is_at_work(sheet: Sheet, attempt: Attempt) -> bool:
    """It owns the job as far as we know, and its trainer may live. (Nobody can claim over garbage.)"""
    if not attempt.claimed or has_given_up(sheet, attempt):
        return False
    limits = sheet.view.limits
    return any(gone(m, limits) is None or not is_silent(m, limits) for m in sheet.machines_of(attempt))


def _stop(sheet: Sheet, why: str) -> None:
    """FAILED, told once for every time that a person wants it to go on."""
    progress = sheet.progress
    if progress.state is JobState.FAILED or progress.state in RESTING:
        if not _is_wished_anew(sheet):
            return
        if not pointer_is_fresh(sheet):
            return  # perhaps it was put right just before the wish
    number = sheet.view.job.wanted_number
    sheet.set_progress(failed_number=number, handled_number=number)
    sheet.become(JobState.FAILED, why)
    sheet.log(Kind.TELL, f"{why}. {resume_hint(sheet)}")


def _is_wished_anew(sheet: Sheet) -> bool:
    job, progress = sheet.view.job, sheet.progress
    known = progress.failed_number if progress.state is JobState.FAILED else progress.handled_number
    return job.wanted is Wanted.RUN and job.wanted_number > known


def _end_machines(sheet: Sheet, why: str) -> None:
    for launch_id in sorted(sheet.machines):
        machine = sheet.machines[launch_id]
        if machine.record.phase not in (InstancePhase.TERMINATING, InstancePhase.GONE):
            terminate(sheet, machine, why)
