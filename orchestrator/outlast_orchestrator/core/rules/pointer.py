"""Rule 3: what the pointer says is what happened. Pure.

An end that was written is an end, even if the node died in the next second; a claim that was written is a
claim, even if the store has never heard of its generation.
"""

from __future__ import annotations

from outlast.protocol.messages import HEALTH, AgentState, Failure
from outlast.protocol.objects import UNHEALTHY, Pointer, PointerState
from outlast_orchestrator.core.actions import ReadPointer
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.evidence import is_silent
from outlast_orchestrator.core.gang import failure_in, have_answered, is_gang, lost_nodes
from outlast_orchestrator.core.rules.adopt import adopt_owner, link_machines, use_up
from outlast_orchestrator.core.rules.ending import close, fail, settle_failure, settle_loss
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import OVER, Attempt, AttemptPhase, JobState
from outlast_orchestrator.core.view import CallKind, InstanceView

FRESH_S = 5.0
ARRIVED_FRESH_S = 60.0
ROUTINE_READ_S = 30.0
BUSY_READ_S = 1.0
BEFORE_TRAINING = (AgentState.WAITING, AgentState.RESTORING)


def look_at_pointer(sheet: Sheet) -> bool:
    """Asks for a new reading when it is time. False when nothing may be planned on what is known."""
    view = sheet.view
    age_s = view.now_s - view.pointer.begun_s
    limit_s = BUSY_READ_S if _is_busy(sheet) else ROUTINE_READ_S
    if age_s > limit_s or view.pointer.problem:
        if not sheet.in_flight(CallKind.POINTER, view.job.id):
            sheet.call(ReadPointer(view.job.id))
        sheet.wake_in(BUSY_READ_S)
    else:
        sheet.wake_in(limit_s - age_s)
    return not view.pointer.problem


def pointer_runs(sheet: Sheet, attempt: Attempt) -> bool:
    """As last read it says that this attempt owns the job and goes on."""
    pointer = sheet.view.pointer.pointer
    return (
        pointer is not None
        and pointer.generation == attempt.generation
        and pointer.state is PointerState.RUNNING
    )


def pointer_is_fresh(sheet: Sheet) -> bool:
    """Read just now, and after the newest wish; else it is asked for, and what can't be undone waits.

    With very many jobs two looks at one lie further apart than "just now": what has arrived since the last
    look is as new as any reading will ever be, and waiting for a newer one would be waiting for ever.
    """
    view = sheet.view
    age_s = view.now_s - view.pointer.begun_s
    older_than_the_wish = 0.0 <= view.now_at - sheet.progress.wish_at < age_s
    arrived = any(done.call.kind is CallKind.POINTER for done in view.done)
    if age_s <= (ARRIVED_FRESH_S if arrived else FRESH_S) and not older_than_the_wish:
        return True
    sheet.call(ReadPointer(view.job.id))
    sheet.wake_in(0.2)
    return False


def _is_busy(sheet: Sheet) -> bool:
    """Somebody may be about to claim, release or end, or to list a hold."""
    if sheet.progress.pending_start_from is not None:
        return True
    if sheet.unclaimed() is not None or sheet.progress.state is JobState.UNREACHABLE:
        return True
    claimed = sheet.claimed()
    if claimed is None:
        return sheet.progress.state not in OVER and sheet.progress.state is not JobState.PAUSED
    if claimed.noticed:
        return True
    first = claimed.launches[:1]
    for machine in sheet.machines_of(claimed):
        if not _trains(machine, claimed) or (machine.record.launch_id in first and _saved(sheet, machine)):
            return True
    return False


def _trains(machine: InstanceView, attempt: Attempt) -> bool:
    heard = machine.heard
    if heard is None or heard.closed or heard.report.generation != attempt.generation:
        return False
    return heard.report.state is AgentState.RUNNING


def _saved(sheet: Sheet, machine: InstanceView) -> bool:
    """It reports a checkpoint that we have not read in the pointer: what is durable should be known soon."""
    durable = machine.heard.report.save.durable if machine.heard is not None else None
    return durable is not None and durable != sheet.progress.durable


def take_pointer(sheet: Sheet) -> None:
    pointer = sheet.view.pointer.pointer
    if pointer is None:
        _absent(sheet)
        return
    if pointer.generation > sheet.progress.generation_max and pointer.generation not in sheet.attempts:
        adopt_owner(sheet, pointer)
    _note_durable(sheet, pointer)
    _supersede(sheet, pointer)
    attempt = sheet.attempts.get(pointer.generation)
    if attempt is not None and not attempt.open and not attempt.claimed:
        attempt = _late_claim(sheet, attempt, pointer)
    if attempt is None:
        return
    if not attempt.open:
        if pointer.state is PointerState.ENDED and attempt.writer in ("", pointer.writer):
            _ended_late(sheet, attempt, pointer)
        return
    attempt = link_machines(sheet, _note_claim(sheet, attempt, pointer), pointer)
    if pointer.state is PointerState.RELEASED:
        _released(sheet, attempt, pointer)
    elif pointer.state is PointerState.ENDED:
        _ended(sheet, attempt, pointer)


def _absent(sheet: Sheet) -> None:
    """No pointer is right before the first claim, and an alarm ever after: never a start at 0."""
    if sheet.progress.durable is None and sheet.claimed() is None and not sheet.progress.closed:
        return  # (a writer that was closed had claimed, whatever we learned of what it saved)
    if sheet.progress.state in OVER or not pointer_is_fresh(sheet):
        return
    known = sheet.progress.durable
    step = f"step {known.step} was durable" if known is not None else "the job had claimed"
    fail(
        sheet,
        f"latest.json is gone from the bucket, although {step}. Nothing was started anew. Put the object "
        f"back (a versioned bucket still has it), then `outlast resume {sheet.view.job.name}`",
    )


def _late_claim(sheet: Sheet, attempt: Attempt, pointer: Pointer) -> Attempt:
    """An attempt that was given up has claimed after all: its write was on its way. It is drained."""
    if pointer.state is not PointerState.RUNNING:
        return attempt
    attempt = sheet.set_attempt(
        attempt,
        phase=AttemptPhase.RESTORING,
        closing=None,
        abandoned=True,
        abandoned_why="its claim was late",
    )
    sheet.log(Kind.ATTEMPT_ADOPTED, "it was given up, but its claim arrived: it is drained", attempt)
    return attempt


def _note_durable(sheet: Sheet, pointer: Pointer) -> None:
    if pointer.head is not None and pointer.head != sheet.progress.durable:
        sheet.set_progress(durable=pointer.head, durable_at=sheet.view.now_at)


def _note_claim(sheet: Sheet, attempt: Attempt, pointer: Pointer) -> Attempt:
    if attempt.claimed:
        return attempt
    head = pointer.started_from
    use_up(sheet, attempt.start_from)
    attempt = sheet.set_attempt(
        attempt, claimed=True, writer=pointer.writer, start_step=head.step if head else 0
    )
    why = pointer.started_why or (f"from step {head.step}" if head else "from the beginning")
    sheet.log(Kind.ATTEMPT_CLAIMED, why, attempt, writer=pointer.writer, step=head.step if head else 0)
    return attempt


def _supersede(sheet: Sheet, pointer: Pointer) -> None:
    """Whoever has claimed above an attempt did so over its release or its closing: it is over."""
    for attempt in sheet.open_attempts():
        if attempt.generation < pointer.generation and (attempt.claimed or attempt.abandoned):
            close(sheet, attempt, f"generation {pointer.generation} has claimed", ("pointer",))


def _released(sheet: Sheet, attempt: Attempt, pointer: Pointer) -> None:
    """Losing a machine costs no try, but what went wrong before the trainer could start does."""
    if _last_word_is_due(sheet, attempt) or _gang_is_silent(sheet, attempt):
        sheet.wake_in(0.5)
        return
    failure = _reported_failure(sheet, attempt)
    if failure is None and pointer.why.startswith(UNHEALTHY):
        failure = Failure(HEALTH, pointer.why)  # whatever became of its last report
    lost = _lost_for(sheet, attempt, failure)
    why = f"it released the job: {pointer.why or 'no reason given'}"
    close(sheet, attempt, why, ("pointer",), kind=Kind.ATTEMPT_RELEASED)
    if lost:
        settle_loss(sheet, attempt, _without(lost))
    elif failure is not None:
        settle_failure(sheet, attempt, failure)


def _last_word_is_due(sheet: Sheet, attempt: Attempt) -> bool:
    """It released before it trained, and its report of why is still on its way."""
    for machine in sheet.machines_of(attempt):
        heard = machine.heard
        if heard is None or is_silent(machine, sheet.view.limits):
            continue
        if heard.report.generation == attempt.generation and heard.report.state in BEFORE_TRAINING:
            return True
    return False


def _gang_is_silent(sheet: Sheet, attempt: Attempt) -> bool:
    """Its other nodes have not yet said how it ended for them: without them nobody knows whether a trainer
    failed, or only lost its connection to a machine that was taken."""
    return is_gang(sheet, attempt) and not have_answered(sheet, attempt)


def _lost_for(sheet: Sheet, attempt: Attempt, failure: Failure | None) -> list[int]:
    """Machines whose loss explains that end. Nobody's machine makes numbers of another one go bad."""
    unhealthy = failure is not None and failure.phase == HEALTH
    return lost_nodes(sheet, attempt) if is_gang(sheet, attempt) and not unhealthy else []


def _without(lost: list[int]) -> str:
    ranks = ", ".join(str(rank) for rank in lost)
    return f"the gang lost node {ranks}: the next attempt takes its place"


def _ended(sheet: Sheet, attempt: Attempt, pointer: Pointer) -> None:
    if pointer.exit_code != 0 and _gang_is_silent(sheet, attempt):
        sheet.wake_in(0.5)
        return
    sheet.set_progress(ended_writer=pointer.writer)
    code = pointer.exit_code
    if code == 0:
        why = "the trainer ended by itself with 0, and its outputs are verified"
        close(sheet, attempt, why, ("pointer",))
        _succeed(sheet)
        return
    failure = _failure_of(sheet, attempt, pointer)
    lost = _lost_for(sheet, attempt, failure)
    close(sheet, attempt, failure.message, ("pointer",))
    _may_be_continued(sheet, pointer)
    if lost:
        settle_loss(sheet, attempt, _without(lost))
    else:
        settle_failure(sheet, attempt, failure)


def _ended_late(sheet: Sheet, attempt: Attempt, pointer: Pointer) -> None:
    """It was closed as lost or given up, and ended before anybody claimed over it: an end is an end."""
    if sheet.progress.ended_writer == pointer.writer:
        return  # taken already
    sheet.set_progress(ended_writer=pointer.writer)
    why = f"it had been closed ({attempt.closing.why if attempt.closing else ''}), but the pointer says ended"
    sheet.log(Kind.ATTEMPT_ENDED_LATE, why, attempt, exit_code=pointer.exit_code)
    if pointer.exit_code == 0:
        _succeed(sheet)
        return
    _may_be_continued(sheet, pointer)
    if sheet.progress.state not in OVER:
        settle_failure(sheet, attempt, _failure_of(sheet, attempt, pointer))


def _may_be_continued(sheet: Sheet, pointer: Pointer) -> None:
    """By the next attempt, and by one that waits already: it was planned over a notice or a closed writer,
    and finds an end."""
    sheet.set_progress(exit_code=pointer.exit_code, pending_over_ended=pointer.writer)
    for waiting in sheet.open_attempts():
        if not waiting.claimed:
            sheet.set_attempt(waiting, permission_over_ended=pointer.writer)


def _succeed(sheet: Sheet) -> None:
    sheet.set_progress(exit_code=0, failures=0, fruitless=0, unhealthy=0)
    sheet.become(JobState.SUCCEEDED, "the trainer ended with 0 and its outputs are in the bucket")


def _failure_of(sheet: Sheet, attempt: Attempt, pointer: Pointer) -> Failure:
    code = pointer.exit_code
    return _reported_failure(sheet, attempt) or Failure(
        "trainer", pointer.why or f"the trainer ended with {code}", exit_code=code
    )


def _reported_failure(sheet: Sheet, attempt: Attempt) -> Failure | None:
    return failure_in(sheet, attempt)
