"""Takes one piece of news into the view: what the controller told, notices, and signs of life. Pure."""

from __future__ import annotations

from outlast.apply import over
from outlast.bucket.outcomes import Applied, Mine, Over
from outlast.cadence import CLAIM_EVERY_S, SHUTDOWN_S, UNKNOWN_DEADLINE_S, leave_by_s, retry_in_s
from outlast.facts import NOTICE_SEEN, NOTICE_WITHDRAWN, TELL, note, with_assignment
from outlast.fold_attempt import ATTEMPT_NEWS, fold_attempt
from outlast.news import (
    FactSeen,
    News,
    NoticesSeen,
    NoticesUnknown,
    Recovered,
    ReportAnswered,
    ReportFailed,
    ShutdownAsked,
    StatusDone,
    StraySeen,
    Told,
    Trouble,
    Wrote,
)
from outlast.node_ports import NoticeSeen
from outlast.protocol.messages import AgentState, Command, CommandKind, Permission, Reply, Work, WriterRef
from outlast.protocol.objects import PointerState
from outlast.protocol.values import replace
from outlast.view import NEVER_S, AgentView, Assignment, Chore, NoticeView


def fold(view: AgentView, news: News) -> AgentView:
    """The view with this news in it. `view.now_s` is the time at which it was received."""
    if isinstance(news, ATTEMPT_NEWS):
        return fold_attempt(view, news)
    if isinstance(news, (ReportAnswered, Told)):
        return _told(view, news)
    if isinstance(news, ReportFailed):
        return _report_failed(view, news)
    if isinstance(news, Wrote):
        return replace(view, alive_s=max(view.alive_s, news.sent_s))
    if isinstance(news, StatusDone):
        return _status_done(view, news)
    if isinstance(news, NoticesSeen):
        return _notices(view, news.seen)
    if isinstance(news, NoticesUnknown):
        fresh = (
            note(view, TELL, f"the metadata service can't be asked: {news.why}")
            if not view.notice_unknown
            else view
        )
        return replace(fresh, notice_unknown=news.why)
    if isinstance(news, ShutdownAsked):
        return _shutdown(view, news)
    if isinstance(news, FactSeen):
        return note(view, news.kind, news.why, **news.data)
    if isinstance(news, StraySeen):
        return view if view.stray is not None else replace(view, stray=news.writer, recover_retry_s=NEVER_S)
    if isinstance(news, Recovered):
        return _recovered(view, news)
    return view


def _status_done(view: AgentView, news: StatusDone) -> AgentView:
    view = replace(view, telling=replace(view.telling, status_in_flight=False))
    if not news.keyless:
        return replace(view, keyless_since_s=view.keyless_since_s if news.why else None)
    if view.keyless_since_s is not None:
        return view
    view = replace(view, keyless_since_s=view.now_s)
    return note(view, TELL, f"training goes on, and saves stay on this machine for now: {news.why}")


def _told(view: AgentView, news: ReportAnswered | Told) -> AgentView:
    """Commands are level-triggered: the newest reply is all that holds; orders to leave stay obeyed."""
    reply = news.reply
    telling = replace(view.telling, link_trouble="", commands_number=reply.number)
    if isinstance(news, ReportAnswered):
        known = [
            (f, s) for f, s in zip(telling.facts, telling.facts_s, strict=True) if f.id > reply.facts_until
        ]
        telling = replace(
            telling,
            report_in_flight=False,
            facts=tuple(f for f, _ in known),
            facts_s=tuple(s for _, s in known),
        )
    lease_s = reply.lease_s if reply.lease_s > 0 else view.lease_s
    view = replace(view, commands=reply.commands, telling=telling, lease_s=lease_s)
    assignment = view.assignment
    if assignment is None or assignment.over is not None:
        return view
    for command in reply.commands:
        if command.generation == assignment.generation:
            assignment = _ordered(view, assignment, command)
    return with_assignment(view, _permission(view, assignment, reply, news))


def _ordered(view: AgentView, assignment: Assignment, command: Command) -> Assignment:
    if command.kind is CommandKind.DRAIN and not assignment.drain_why:
        limit_s = assignment.work.drain_limit_s if command.limit_s is None else command.limit_s
        why = command.why or "drain"
        return replace(assignment, drain_why=why, drain_by_s=view.now_s + limit_s)
    if command.kind is CommandKind.STOP and not assignment.stop_why:
        by_s = None if command.limit_s is None else view.now_s + command.limit_s
        return replace(assignment, stop_why=command.why or "stop", stop_by_s=by_s)
    if command.kind is CommandKind.ASSIGN and not assignment.claimed:
        return replace(assignment, peers=command.peers)
    if command.kind is CommandKind.ABANDON and not assignment.abandon_why:
        by_s = assignment.drain_by_s or view.now_s + assignment.work.drain_limit_s
        return replace(assignment, abandon_why=command.why or "no longer wanted", drain_by_s=by_s)
    return assignment


def _permission(
    view: AgentView, assignment: Assignment, reply: Reply, news: ReportAnswered | Told
) -> Assignment:
    """RUN counts only in the answer to a report that asked for it; elsewhere it means: ask at once."""
    if assignment.claim is not Chore.TODO or assignment.follows:
        return assignment
    run: Permission | None = None
    for command in reply.commands:
        if command.kind is CommandKind.RUN and command.generation == assignment.generation:
            run = command.permission or Permission()
    if run is None:
        if isinstance(news, Told):
            return replace(assignment, permission=None)
        held_s = max(assignment.claim_not_before_s, view.now_s + CLAIM_EVERY_S)
        return replace(assignment, permission=None, claim_not_before_s=held_s)
    asked_for = news.asked_for if isinstance(news, ReportAnswered) else None
    if asked_for == WriterRef(assignment.generation, assignment.writer) and assignment.writer:
        return replace(assignment, permission=run)
    if isinstance(news, Told) and run != assignment.last_run:
        # What stood in the way may be gone: the next try need not wait for its second.
        return replace(assignment, last_run=run, claim_not_before_s=view.now_s)
    return assignment


def _report_failed(view: AgentView, news: ReportFailed) -> AgentView:
    telling = replace(view.telling, report_in_flight=False, link_trouble=news.why)
    view = replace(view, telling=telling)
    assignment = view.assignment
    if assignment is None or assignment.claim is not Chore.TODO or assignment.follows:
        return view
    held_s = max(assignment.claim_not_before_s, view.now_s + CLAIM_EVERY_S)
    return with_assignment(view, replace(assignment, permission=None, claim_not_before_s=held_s))


# Notices


def _notices(view: AgentView, seen: tuple[NoticeSeen, ...]) -> AgentView:
    view = replace(view, notice_unknown="")
    old = view.notice
    if old is not None and old.kind == "shutdown":
        return view  # the order of the operating system is not the cloud's to take back
    order = {"terminate": 0, "shutdown": 1}
    first = min(seen, key=lambda n: order.get(n.kind, 2), default=None)
    if first is None:
        if old is None:
            return view
        return note(replace(view, notice=None), NOTICE_WITHDRAWN, f"{old.kind} is no longer announced")
    if old is not None and old.kind == first.kind:
        return view  # the first deadline stands: later readings of it only jitter
    view = replace(view, notice=_notice(view, first))
    left = "unknown" if first.deadline_in_s is None else f"{first.deadline_in_s:.0f} s"
    return note(view, NOTICE_SEEN, f"{first.kind}, time left: {left}", notice=first.kind, detail=first.detail)


def _notice(view: AgentView, seen: NoticeSeen) -> NoticeView:
    if seen.kind not in ("terminate", "shutdown"):
        return NoticeView(seen.kind, None, None, seen.detail)
    left_s = UNKNOWN_DEADLINE_S if seen.deadline_in_s is None else max(0.0, seen.deadline_in_s)
    deadline_s = view.now_s + left_s
    return NoticeView(seen.kind, deadline_s, leave_by_s(view.now_s, deadline_s), seen.detail)


def _shutdown(view: AgentView, news: ShutdownAsked) -> AgentView:
    limit_s, old = SHUTDOWN_S if news.limit_s is None else news.limit_s, view.notice
    by_s = view.now_s + limit_s
    if old is not None and old.kind == "shutdown":
        if news.limit_s is None or old.leave_by_s is None or by_s >= old.leave_by_s:
            return view
        return replace(view, notice=replace(old, deadline_s=by_s, leave_by_s=by_s))
    if old is not None and old.kind == "terminate":
        # The machine is going down as announced; what is left of that time is what there is.
        left_s = max(0.0, (old.leave_by_s or view.now_s) - view.now_s)
        by_s = view.now_s + min(left_s, limit_s)
        return replace(view, notice=NoticeView("shutdown", by_s, by_s, old.detail))
    view = replace(view, notice=NoticeView("shutdown", by_s, by_s, "SIGTERM"))
    return note(view, NOTICE_SEEN, "the agent is told to end", notice="shutdown")


# Writers of an earlier life


def _recovered(view: AgentView, news: Recovered) -> AgentView:
    outcome = news.outcome
    if isinstance(outcome, Trouble):
        return replace(view, recovering=False, recover_retry_s=view.now_s + retry_in_s(3))
    past = view.past if news.writer in view.past else (*view.past, news.writer)
    view = replace(view, recovering=False, stray=None, past=past)
    if view.assignment is not None or news.writer.generation != view.generation_max:
        return view
    if isinstance(outcome, (Applied, Mine, Over)):
        ended = outcome.pointer.state is PointerState.ENDED
        state = AgentState.ENDED if ended else AgentState.RELEASED
        why, code = f"the agent was restarted: {outcome.why}", outcome.pointer.exit_code if ended else None
        return with_assignment(view, replace(_left_over(view, news.writer, state, why), exit_code=code))
    # Its claim was not applied. It may still come through: then `StraySeen` releases it.
    why = f"the agent was restarted before its claim was known to be applied ({outcome.why})"
    return with_assignment(view, _left_over(view, news.writer, AgentState.ABANDONED, why))


def restarted_follower(view: AgentView) -> AgentView:
    """An agent that was restarted on a node that followed: its trainer died with it, and the gang can't take
    it back. It says so, under the attempt that it had."""
    why = "the agent was restarted: this node can't take its place in the gang again"
    left = _left_over(view, WriterRef(view.generation_max, ""), AgentState.ABANDONED, why)
    return with_assignment(view, left)


def _left_over(view: AgentView, writer: WriterRef, state: AgentState, why: str) -> Assignment:
    """What is left of the assignment that this agent had before it was restarted: only its end."""
    no_work = Work(name="", owner=view.identity.owner, revision=0, run="")
    rank, attempt = view.remembered_rank, view.remembered_attempt
    assignment = Assignment(writer.generation, rank, attempt, no_work, writer=writer.writer)
    return over(assignment, state, why, view.now_s)
