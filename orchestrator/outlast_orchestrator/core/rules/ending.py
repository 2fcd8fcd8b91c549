"""How an attempt is closed, and how a job goes on or stops after it. Pure."""

from __future__ import annotations

from outlast.protocol.limits import AUTO_EVERY_MAX_S
from outlast.protocol.messages import HEALTH, Failure
from outlast.protocol.objects import Pointer, PointerState
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.relaunch import (
    Again,
    StopAndTell,
    after_failure,
    after_loss,
    after_unhealthy,
)
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import OVER, Attempt, AttemptPhase, Closing, JobState


def close(
    sheet: Sheet,
    attempt: Attempt,
    why: str,
    witnesses: tuple[str, ...],
    verdict: str = "",
    kind: Kind = Kind.ATTEMPT_CLOSED,
) -> Attempt:
    """Ends the attempt in our books. A writer that the pointer still names as running is *closed* by it.

    Only a writer is ever closed: an attempt that has not claimed has nothing that a successor could step
    over, and its late claim would be a writer of its own.
    """
    step = _last_step(sheet, attempt)
    closing = Closing(why, verdict, witnesses, sheet.view.now_at)
    attempt = sheet.set_attempt(
        attempt,
        phase=AttemptPhase.CLOSED,
        closing=closing,
        last_step=step if step is not None else attempt.last_step,
    )
    entry = _writer_to_close(sheet.view.pointer.pointer, attempt)
    if entry is not None:
        still = tuple(known for known in sheet.progress.closed if known[0] >= entry[0])
        sheet.set_progress(closed=still if entry in still else (*still, entry))
    sheet.log(
        kind,
        why,
        attempt,
        verdict=verdict,
        witnesses=", ".join(witnesses),
        last_step=attempt.last_step,
        start_step=attempt.start_step,
    )
    return attempt


def _writer_to_close(pointer: Pointer | None, attempt: Attempt) -> tuple[int, str] | None:
    if not attempt.claimed:
        return None
    if pointer is None:
        # It is gone. Should it be put back, it will name this writer as running.
        return (attempt.generation, attempt.writer) if attempt.writer else None
    runs = pointer.generation == attempt.generation and pointer.state is PointerState.RUNNING
    return (pointer.generation, pointer.writer) if runs else None


def _last_step(sheet: Sheet, attempt: Attempt) -> int | None:
    for machine in sheet.machines.values():
        heard = machine.heard
        if heard is not None and heard.report.generation == attempt.generation:
            return heard.report.step
    return None


def fail(sheet: Sheet, why: str) -> None:
    """Stop and tell. What runs is drained by the orders; FAILED can always be continued."""
    if sheet.progress.state is JobState.FAILED:
        return
    sheet.set_progress(failed_number=sheet.view.job.wanted_number)
    sheet.become(JobState.FAILED, why)
    sheet.log(Kind.TELL, f"{why}. {resume_hint(sheet)}")


def resume_hint(sheet: Sheet) -> str:
    return f"Continue with `outlast resume {sheet.view.job.name}`"


def settle_loss(sheet: Sheet, attempt: Attempt, why: str) -> None:
    """A machine was lost: that costs no try, unless attempt after attempt ends so with nothing saved."""
    barren = _is_barren(sheet, attempt)
    outcome = after_loss(sheet.progress.failures, sheet.progress.fruitless, barren=barren)
    sheet.set_progress(failures=outcome.failures, fruitless=outcome.fruitless)
    if isinstance(outcome, Again):
        plan_again(sheet, outcome.after_s, why)
    else:
        fail(sheet, outcome.why)


def _is_barren(sheet: Sheet, attempt: Attempt) -> bool:
    """It trained for more than two intervals and nothing of it became durable."""
    plan = sheet.view.job.work.checkpoint
    every_s = AUTO_EVERY_MAX_S if plan.auto else plan.every_s
    if every_s is None or attempt.running_at is None:
        return False
    durable = sheet.progress.durable
    saved = durable is not None and durable.step > (attempt.start_step or 0)
    return not saved and sheet.view.now_at - attempt.running_at > 2 * every_s


def plan_again(sheet: Sheet, after_s: float, why: str) -> None:
    """The next attempt may be planned, not before `after_s` from now, unless the job is over."""
    if sheet.progress.state in OVER:
        return
    sheet.set_progress(retry_at=sheet.view.now_at + after_s)
    sheet.become(JobState.RECOVERING, why)


def settle_failure(sheet: Sheet, attempt: Attempt, failure: Failure) -> None:
    """Counts a failure of the user's program and either plans the next attempt or stops and tells."""
    if failure.phase == HEALTH:
        _settle_unhealthy(sheet, attempt, failure)
        return
    progress = sheet.progress
    start = attempt.start_step
    new_durable = progress.durable is not None and (start is None or progress.durable.step > start)
    outcome: Again | StopAndTell = after_failure(
        sheet.view.job.retry,
        failure,
        progress.failures,
        progress.fruitless,
        new_durable=attempt.claimed and new_durable,
    )
    sheet.log(
        Kind.ATTEMPT_FAILED,
        failure.message,
        attempt,
        phase=failure.phase,
        exit_code=failure.exit_code,
        tail=failure.tail[-2000:],
    )
    sheet.set_progress(failures=outcome.failures, fruitless=outcome.fruitless)
    if isinstance(outcome, StopAndTell):
        fail(sheet, outcome.why + _held(sheet))
    else:
        plan_again(sheet, outcome.after_s, f"{failure.message}: {outcome.why}")


def _held(sheet: Sheet) -> str:
    hold_s, name = sheet.view.job.work.hold_s, sheet.view.job.name
    if hold_s <= 0.0:
        return ""
    ways = f"`outlast ssh {name}` leads there, `outlast cancel {name}` ends it"
    return f"; its machine is left on for {hold_s / 60.0:.0f} min: {ways}"


def _settle_unhealthy(sheet: Sheet, attempt: Attempt, failure: Failure) -> None:
    """Counted as long as the head stays the same: a healthy checkpoint in between is a new beginning."""
    progress, good = sheet.progress, sheet.progress.durable
    head = good.name if good is not None else ""
    again = progress.unhealthy > 0 and progress.unhealthy_head == head
    unhealthy = progress.unhealthy + 1 if again else 1
    sheet.set_progress(unhealthy=unhealthy, unhealthy_head=head)
    sheet.log(Kind.ATTEMPT_UNHEALTHY, failure.message, attempt, good=head, times=unhealthy)
    outcome = after_unhealthy(sheet.progress, failure, good, sheet.view.job.name)
    if isinstance(outcome, StopAndTell):
        fail(sheet, outcome.why + _held(sheet))
    else:
        plan_again(sheet, outcome.after_s, f"{failure.message}: {outcome.why}")
