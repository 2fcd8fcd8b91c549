"""Rule 1: what came back from the calls of earlier ticks. Pure."""

from __future__ import annotations

from outlast_orchestrator.core.errors import (
    Capacity,
    Denied,
    Invalid,
    ProviderError,
    Quota,
)
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.gang import NO_MACHINE, with_slot
from outlast_orchestrator.core.place import block_for
from outlast_orchestrator.core.rules.hold import note_hold
from outlast_orchestrator.core.rules.installing import note_install
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import Asked, Attempt, Instance, InstancePhase
from outlast_orchestrator.core.view import CallDone, CallKind

PLANNED_WHY = "planned"


def take_answers(sheet: Sheet) -> None:
    for done in sheet.view.done:
        if done.call.kind is CallKind.LAUNCH:
            _launch(sheet, done)
        elif done.call.kind is CallKind.GENERATION and done.generation:
            _generation(sheet, done)
        elif done.call.kind is CallKind.INSTALL:
            note_install(sheet, done)
        elif done.call.kind is CallKind.HOLD and not done.problem and done.error is None:
            note_hold(sheet, done.name)


def _launch(sheet: Sheet, done: CallDone) -> None:
    records = [m.record for m in sheet.machines.values() if m.record.request.token == done.call.key]
    if not records or records[0].phase is InstancePhase.GONE:
        return
    record = records[0]
    if done.error is None and not done.problem:
        sheet.set_instance(record.launch_id, asked=Asked.ACCEPTED)
        sheet.log(
            Kind.LAUNCH_ACCEPTED, "the cloud took the request", launch=record.launch_id, token=done.call.key
        )
    elif isinstance(done.error, (Capacity, Quota, Denied, Invalid)):
        _refused(sheet, record, done.error)
    else:
        _unsure(sheet, record, str(done.error or done.problem))


def _refused(sheet: Sheet, record: Instance, error: ProviderError) -> None:
    scope = error.scope.key
    for one in (error, *error.also):
        key = one.scope.key
        sheet.blocks[key] = block_for(one, sheet.blocks.get(key), sheet.view.now_at)
    if record.asked is Asked.UNSURE and isinstance(error, Denied):
        # The rights went away between two tries of one token: that says nothing of the first try.
        return
    sheet.set_instance(
        record.launch_id,
        asked=Asked.REFUSED,
        phase=InstancePhase.GONE,
        ended_at=sheet.view.now_at,
        end_why=f"never launched: {_whole(error)}",
    )
    for attempt in sheet.open_attempts():
        if record.launch_id in attempt.launches:
            # It never had that machine: later this must not look like a machine that was lost.
            rank = attempt.launches.index(record.launch_id)
            sheet.set_attempt(attempt, launches=with_slot(attempt.launches, rank, NO_MACHINE))
    sheet.log(
        Kind.LAUNCH_REFUSED,
        _whole(error),
        launch=record.launch_id,
        pool=record.request.offer.pool,
        scope=scope,
        error=type(error).__name__,
    )
    for one in (error, *error.also):
        if one.tell:
            sheet.log(Kind.TELL, f"{type(one).__name__}: {one}", scope=one.scope.key)


def _whole(error: ProviderError) -> str:
    return f"{error} (and {len(error.also)} more)" if error.also else str(error)


def _unsure(sheet: Sheet, record: Instance, problem: str) -> None:
    """The machine may exist. Until the listing or a repeat of the same token settles it, no other is made."""
    if record.asked is not Asked.ACCEPTED and record.asked is not Asked.UNSURE:
        sheet.set_instance(record.launch_id, asked=Asked.UNSURE)
        sheet.log(Kind.LAUNCH_UNSURE, f"{problem}; the same token is sent again", launch=record.launch_id)


def _generation(sheet: Sheet, done: CallDone) -> None:
    """A number was taken in the bucket: it belongs to the attempt that is planned now, and to no other."""
    if done.generation in sheet.attempts:
        return
    progress, job = sheet.progress, sheet.view.job
    attempt = Attempt(
        job=job.id,
        generation=done.generation,
        id=sheet.fresh_id(),
        revision=job.revision,
        planned_at=sheet.view.now_at,
        planned_why=progress.why or PLANNED_WHY,
        permission_over_ended=progress.pending_over_ended,
        start_from=progress.pending_start_from,
    )
    sheet.put_attempt(attempt)
    sheet.set_progress(
        generation_max=max(progress.generation_max, done.generation),
        restart_done=max(progress.restart_done, job.restart.number),
    )
    sheet.log(Kind.ATTEMPT_PLANNED, f"generation {done.generation} is taken", attempt, id=attempt.id)
