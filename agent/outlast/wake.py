"""When the decision may change although no news comes: so the loop sleeps until then. Pure."""

from __future__ import annotations

from outlast.cadence import COMMIT_S, FINAL_GRACE_S, WAKE_GRACE_S
from outlast.leave import leaving
from outlast.next_save import next_save_s
from outlast.protocol.values import replace
from outlast.telling import CHANGE_EVERY_S, report_every_s, status_every_s
from outlast.view import AgentView, Assignment, Stage, lease_ends_s, off_after_s

SOON_S = 0.02  # never a busy loop, whatever the rules say


def wake_in_s(view: AgentView, news: str) -> float:
    """Seconds until the next point in time that a rule looks at. `news`: what is `said` of this view."""
    now_s = view.now_s
    return max(SOON_S, min([moment for moment in _moments(view, news) if moment > now_s]) - now_s)


def go_on(view: AgentView, now_s: float, wait_s: float) -> AgentView:
    """The view as of now, after a round that was to wait `wait_s`. Who stood still, in its sleep or anywhere
    else in the round, notes when it woke."""
    froze = now_s - view.now_s - wait_s > view.pace.freeze_s
    return replace(view, now_s=now_s, woke_s=now_s if froze else view.woke_s)


def _moments(view: AgentView, news: str) -> list[float]:
    telling, pace = view.telling, view.pace
    moments = [
        view.now_s + pace.alive_every_s,
        telling.reported_s + report_every_s(view),
        telling.status_s + status_every_s(view),
        lease_ends_s(view),
        view.woke_s + WAKE_GRACE_S,
        view.recover_retry_s,
    ]
    if telling.link_trouble:
        moments.append(telling.reported_s + pace.report_again_s)
    if telling.report_now or telling.reported_state != news:
        moments.append(telling.reported_s + CHANGE_EVERY_S)
    if telling.status_state != news:
        moments.append(telling.status_s + CHANGE_EVERY_S)
    return moments if view.assignment is None else moments + _of_assignment(view, view.assignment)


def _of_assignment(view: AgentView, assignment: Assignment) -> list[float]:
    saving = assignment.saving
    moments = [
        assignment.prepare_retry_s,
        assignment.claim_not_before_s,
        assignment.restore_retry_s,
        assignment.closing_retry_s,
        saving.retry_s,
    ]
    if assignment.over is not None:
        return [*moments, assignment.over_s + off_after_s(view.pace, assignment)]
    moments.append(saving.found_s + FINAL_GRACE_S)
    reason = leaving(view, assignment)
    if reason is not None and reason.by_s is not None:
        moments += [reason.by_s, reason.by_s - COMMIT_S]
    if assignment.trainer.stage is Stage.ALIVE:
        moments.append(saving.pruned_s + view.pace.wishes_every_s)
        due_s, _ = next_save_s(view, assignment)
        if due_s is not None:
            moments.append(due_s)
    return moments
