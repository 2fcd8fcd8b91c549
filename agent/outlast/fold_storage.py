"""What the bucket's troubles and the pointer's words mean for the view, whoever heard them. Pure."""

from __future__ import annotations

from outlast.apply import over
from outlast.bucket.outcomes import Applied, Fenced, Mine, Over, Stop, Wait
from outlast.cadence import retry_in_s
from outlast.facts import (
    AGENT_FENCED,
    STORAGE_MENDED,
    STORAGE_TROUBLE,
    TELL,
    note,
    with_assignment,
    with_saving,
)
from outlast.fold_gang import pointer_is_over
from outlast.news import Trouble
from outlast.protocol.messages import Failure
from outlast.protocol.values import replace
from outlast.view import AgentView, Assignment, Chore


def troubled(view: AgentView, trouble: Trouble) -> AgentView:
    """Storage trouble is shown, with its age, until something works again; told once."""
    assert view.assignment is not None
    saving = view.assignment.saving
    first = saving.trouble_since_s is None
    since_s = view.now_s if saving.trouble_since_s is None else saving.trouble_since_s
    view = with_saving(view, replace(saving, trouble=trouble.why, trouble_since_s=since_s))
    return note(view, STORAGE_TROUBLE, trouble.why) if first else view


def mended(view: AgentView) -> AgentView:
    assert view.assignment is not None
    saving = view.assignment.saving
    if saving.trouble_since_s is None:
        return view
    lasted_s = view.now_s - saving.trouble_since_s
    view = with_saving(view, replace(saving, trouble="", trouble_since_s=None, retry_s=view.now_s))
    return note(view, STORAGE_MENDED, f"after {lasted_s:.0f} s")


def later(view: AgentView, assignment: Assignment) -> AgentView:
    """The save under way is tried again after a while."""
    tries = assignment.saving.tries + 1
    again = replace(
        assignment.saving,
        uploading=False,
        committing=False,
        tries=tries,
        retry_s=view.now_s + retry_in_s(tries),
    )
    return with_saving(view, again)


def pointer_said(
    view: AgentView,
    assignment: Assignment,
    outcome: Applied | Mine | Wait | Over | Fenced | Stop | Trouble,
    *,
    closing: bool = False,
) -> AgentView:
    """What any word of the pointer means for an attempt that has claimed."""
    if isinstance(outcome, Fenced):
        # What failed meanwhile is no failure of the job: the new owner has pruned what was being restored.
        fenced = replace(assignment, fenced_why=outcome.why, closing=Chore.TODO, failure=None)
        return note(with_assignment(view, fenced), AGENT_FENCED, outcome.why)
    if isinstance(outcome, (Stop, Wait)):
        # After a claim an older pointer, or none, is an alarm: stop, and tell a person.
        failure = Failure("storage", outcome.why, fatal=True)
        stopped = replace(assignment, fenced_why=outcome.why, failure=failure, closing=Chore.TODO)
        return note(with_assignment(view, stopped), TELL, outcome.why)
    if assignment.follows and isinstance(outcome, Over):
        return pointer_is_over(view, assignment, outcome)
    if not closing:
        return view
    if isinstance(outcome, (Applied, Over)):
        why = assignment.closing_why
        return with_assignment(view, over(assignment, assignment.closing_as, why, view.now_s))
    tries = assignment.closing_tries + 1
    retry_s = view.now_s + retry_in_s(tries)
    again = replace(assignment, closing=Chore.TODO, closing_tries=tries, closing_retry_s=retry_s)
    view = with_assignment(view, again)
    return troubled(view, outcome) if isinstance(outcome, Trouble) else view
