"""When the decision may change although no news comes: so the loop sleeps until then. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from outlast.cadence import COMMIT_S, FINAL_GRACE_S, WAKE_GRACE_S, save_due_s
from outlast.leave import leaving
from outlast.protocol.values import replace
from outlast.telling import CHANGE_EVERY_S, report_every_s, said, status_every_s
from outlast.view import NEVER_S, AgentView, Assignment, Stage

SOON_S = 0.02  # never a busy loop, whatever the rules say


def wake_in_s(view: AgentView) -> float:
    """Seconds until the next point in time that a rule looks at."""
    moments = [moment for moment in _moments(view) if moment > view.now_s]
    return max(SOON_S, min(moments) - view.now_s)


def go_on(view: AgentView, now_s: float, wait_s: float) -> AgentView:
    """The view as of now, after a round that was to wait `wait_s`. Who stood still, in its sleep or anywhere
    else in the round, notes when it woke."""
    froze = now_s - view.now_s - wait_s > view.pace.freeze_s
    return replace(view, now_s=now_s, woke_s=now_s if froze else view.woke_s)


def _moments(view: AgentView) -> Iterator[float]:
    telling, pace = view.telling, view.pace
    yield view.now_s + pace.alive_every_s
    yield telling.reported_s + report_every_s(view)
    yield telling.status_s + status_every_s(view)
    if telling.link_trouble:
        yield telling.reported_s + pace.report_again_s
    news = said(view)
    if telling.report_now or telling.reported_state != news:
        yield telling.reported_s + CHANGE_EVERY_S
    if telling.status_state != news:
        yield telling.status_s + CHANGE_EVERY_S
    yield view.alive_s + view.lease_s
    yield view.woke_s + WAKE_GRACE_S
    yield view.recover_retry_s
    if view.assignment is not None:
        yield from _of_assignment(view, view.assignment)


def _of_assignment(view: AgentView, assignment: Assignment) -> Iterator[float]:
    saving = assignment.saving
    yield assignment.prepare_retry_s
    yield assignment.claim_not_before_s
    yield assignment.restore_retry_s
    yield assignment.closing_retry_s
    yield saving.retry_s
    if assignment.over is not None:
        yield assignment.over_s + view.pace.fenced_off_s
        yield assignment.over_s + view.pace.over_off_s
        return
    yield saving.found_s + FINAL_GRACE_S
    reason = leaving(view, assignment)
    if reason is not None and reason.by_s is not None:
        yield reason.by_s
        yield reason.by_s - COMMIT_S
    if assignment.trainer.stage is Stage.ALIVE:
        yield saving.pruned_s + view.pace.wishes_every_s
        ask_s = assignment.ask.at_s if assignment.ask is not None else NEVER_S
        every_s = assignment.work.checkpoint.every_s
        due_s = save_due_s(every_s, assignment.trainer.started_s, saving.found_s, ask_s)
        if due_s is not None:
            yield due_s
