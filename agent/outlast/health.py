"""When saves that the health gate refused end an attempt, and in which words. Pure."""

from __future__ import annotations

from outlast.cadence import QUARANTINED_MAX
from outlast.protocol.messages import HEALTH, Failure
from outlast.protocol.objects import UNHEALTHY
from outlast.view import Assignment

WHY_MAX = 240  # of the newest one's reason: it goes into the pointer, and the whole of it is an event


def unhealthy(assignment: Assignment) -> str:
    """Why no more may be trained on this state; "" while it may.

    One healthy save in between, and it is counted anew: a save may be hit by bad luck, a state is lost.
    """
    saving = assignment.saving
    if saving.refused < QUARANTINED_MAX:
        return ""
    newest = saving.refused_why
    shown = newest if len(newest) <= WHY_MAX else f"{newest[:WHY_MAX]}…"
    return f"{UNHEALTHY}: {saving.refused} in a row were quarantined; the newest: {shown}"


def health_failure(why: str) -> Failure | None:
    """What an end for this reason is to the job; None: it is an end for another one."""
    return Failure(HEALTH, why) if why.startswith(UNHEALTHY) else None


def ended_unhealthy(assignment: Assignment) -> bool:
    """Its trainer was ended for that, whatever else has been wished since."""
    return assignment.trainer.killed_why.startswith(UNHEALTHY)
