"""Takes news of the gang's first node into the view of a node that follows it. Pure."""

from __future__ import annotations

from dataclasses import replace

from outlast.apply import over
from outlast.bucket.outcomes import Over, Wait
from outlast.cadence import retry_in_s
from outlast.facts import AGENT_FENCED, note, with_assignment
from outlast.news import Joined, LeaderSeen, Trouble
from outlast.protocol.messages import OVER, AgentState
from outlast.protocol.objects import GangStart, PointerState
from outlast.view import AgentView, Assignment, Chore


def joined(view: AgentView, assignment: Assignment, news: Joined) -> AgentView:
    outcome = news.outcome
    if isinstance(outcome, GangStart):
        return with_assignment(view, replace(assignment, claim=Chore.DONE, start=outcome, claim_why=""))
    if isinstance(outcome, (Wait, Trouble)):
        tries = assignment.claim_tries + 1 if isinstance(outcome, Trouble) else 0
        wait_s = retry_in_s(tries) if tries else view.pace.gang_every_s
        again = replace(
            assignment,
            claim=Chore.TODO,
            claim_tries=tries,
            claim_why=outcome.why,
            claim_not_before_s=view.now_s + wait_s,
        )
        return with_assignment(view, again)
    if isinstance(outcome, Over):
        return with_assignment(view, over(assignment, AgentState.ABANDONED, outcome.why, view.now_s))
    fenced = over(assignment, AgentState.FENCED, outcome.why, view.now_s)
    return note(with_assignment(view, fenced), AGENT_FENCED, outcome.why)


def leader_seen(view: AgentView, assignment: Assignment, news: LeaderSeen) -> AgentView:
    """What it uploads, this node brings its part of; when it has left, nobody trains on."""
    assignment = replace(assignment, leader_step=news.step)
    if news.state in OVER and assignment.leader_over is None:
        assignment = replace(assignment, leader_over=news.state, leader_why=news.why)
    return with_assignment(view, assignment)


def pointer_is_over(view: AgentView, assignment: Assignment, outcome: Over) -> AgentView:
    """The pointer says of the first node that it has released, or ended."""
    if assignment.leader_over is not None:
        return view
    ended = outcome.pointer.state is PointerState.ENDED
    state = AgentState.ENDED if ended else AgentState.RELEASED
    return with_assignment(view, replace(assignment, leader_over=state, leader_why=outcome.why))
