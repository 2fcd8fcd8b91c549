"""What a person's wish makes of a job's row, and which wishes make no sense any more. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from outlast.protocol.objects import ManifestRef
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import Job, JobState, Restart, Wanted


@dataclass(frozen=True)
class Wish:
    """The row as it should be, and the event that tells why; `job` None: it is so already."""

    job: Job | None
    event: Event
    answer: str


Change = Callable[[Job, JobState], Wish]

CONTINUE = "`outlast admin restart {name}` continues it from its last checkpoint"


def _turn(job: Job, wanted: Wanted, by: str, what: str) -> Wish:
    wished = replace(
        job, wanted=wanted, wanted_by=f"{what} by {by or 'someone'}", wanted_number=job.wanted_number + 1
    )
    event = Event(Kind.JOB_WANTED, wished.wanted_by, job=job.id, data={"wanted": wanted.value})
    return Wish(wished, event, "")


def _same(job: Job, answer: str) -> Wish:
    return Wish(None, Event(Kind.JOB_WANTED, answer, job=job.id), answer)


def cancel(by: str) -> Change:
    def change(job: Job, state: JobState) -> Wish:
        if state is JobState.SUCCEEDED:
            raise UserError(f"{job.name} has succeeded: there is nothing to cancel")
        if job.wanted is Wanted.CANCELLED:
            return _same(job, f"{job.name} is cancelled already")
        wish = _turn(job, Wanted.CANCELLED, by, "cancelled")
        return replace(wish, answer=f"{job.name} is being cancelled; its checkpoints stay in the bucket")

    return change


def pause(by: str) -> Change:
    def change(job: Job, state: JobState) -> Wish:
        if state in (JobState.SUCCEEDED, JobState.CANCELLED) or job.wanted is Wanted.CANCELLED:
            raise UserError(f"{job.name} is over ({state.value}): there is nothing to pause")
        if job.wanted is Wanted.PAUSED:
            return _same(job, f"{job.name} is paused already, or on its way there")
        wish = _turn(job, Wanted.PAUSED, by, "paused")
        return replace(
            wish, answer=f"{job.name} saves and releases its machines; `outlast resume {job.name}`"
        )

    return change


def resume(by: str) -> Change:
    def change(job: Job, state: JobState) -> Wish:
        if state in (JobState.SUCCEEDED, JobState.CANCELLED) or job.wanted is Wanted.CANCELLED:
            raise UserError(f"{job.name} is over ({state.value}); {CONTINUE.format(name=job.name)}")
        if job.wanted is Wanted.RUN and state is not JobState.FAILED:
            return _same(job, f"{job.name} is {state.value} already")
        wish = _turn(job, Wanted.RUN, by, "resumed")
        return replace(wish, answer=f"{job.name} goes on from its last checkpoint")

    return change


def restart(by: str, now: bool, start_from: ManifestRef | None = None) -> Change:
    """`start_from`: a kept checkpoint; the controller holds it before it stops what runs."""

    def change(job: Job, _state: JobState) -> Wish:
        how = "without a final save" if now else "after a final save"
        if start_from is not None:
            how += f", from step {start_from.step} ({start_from.name})"
        why = f"restart asked for by {by or 'someone'}, {how}"
        wished = replace(
            job,
            wanted=Wanted.RUN,
            wanted_by=why,
            wanted_number=job.wanted_number + 1,
            restart=Restart(number=job.restart.number + 1, start_from=start_from, now=now),
        )
        event = Event(Kind.JOB_RESTART, why, job=job.id, data={"number": str(wished.restart.number)})
        return Wish(wished, event, f"{job.name} gets a new attempt, {how}")

    return change


def update(to_revision: Callable[[Job], Job], by: str) -> Change:
    """`to_revision` builds the job anew from its file, as the revision after this one."""

    def change(job: Job, state: JobState) -> Wish:
        if state in (JobState.SUCCEEDED, JobState.CANCELLED) or job.wanted is Wanted.CANCELLED:
            raise UserError(f"{job.name} is over ({state.value}): submit the file as a new job")
        revised = to_revision(job)
        why = f"revision {revised.revision} by {by or 'someone'}"
        wished = replace(
            revised,
            wanted=Wanted.RUN if state is JobState.FAILED else job.wanted,
            wanted_by=why,
            wanted_number=job.wanted_number + 1,
            restart=job.restart,
        )
        data = {"revision": str(revised.revision), "code": revised.work.code}
        when = "when it is resumed, " if job.wanted is Wanted.PAUSED else ""
        answer = f"{job.name} goes on, {when}with revision {revised.revision} from its last checkpoint"
        return Wish(wished, Event(Kind.JOB_UPDATED, why, job=job.id, data=data), answer)

    return change
