"""What the agent says of itself, and when: to the controller, and as a status object in the bucket. Pure."""

from __future__ import annotations

from outlast.acts import Release
from outlast.leave import leaving
from outlast.next_save import chosen_interval
from outlast.protocol.messages import AgentState, Notice, Report, SaveStatus, WriterRef
from outlast.protocol.values import replace
from outlast.verdict import verdict
from outlast.view import AgentView, Assignment, Chore, Saving, Stage

CHANGE_EVERY_S = 0.2  # a change is told at once, but not in a rush of reports
FACTS_PER_REPORT = 100
TRIES_A_LEASE = 3


def state_of(view: AgentView) -> AgentState:
    assignment = view.assignment
    if assignment is None:
        return AgentState.IDLE
    if assignment.over is not None:
        return assignment.over
    if not assignment.claimed:
        ready = assignment.prepare is Chore.DONE and assignment.remember is Chore.DONE
        return AgentState.WAITING if ready else AgentState.PREPARING
    if leaving(view, assignment) is not None or _leaves_all_the_same(assignment):
        return AgentState.DRAINING
    if assignment.trainer.stage in (Stage.NONE, Stage.STARTING):
        return AgentState.RESTORING
    return AgentState.RUNNING


def _leaves_all_the_same(assignment: Assignment) -> bool:
    """Its reason to leave was withdrawn too late: who hears RUNNING would send the replacement away."""
    trainer = assignment.trainer
    if trainer.progress.answer is not None and trainer.progress.answer.leaving:
        return True
    ended = trainer.exit is not None or trainer.stage not in (Stage.NONE, Stage.STARTING, Stage.ALIVE)
    return ended and isinstance(verdict(assignment, None), Release)


def asking(view: AgentView) -> WriterRef | None:
    """The writer for whom a report sent now asks permission to claim."""
    assignment = view.assignment
    if assignment is None or assignment.follows or assignment.claim is not Chore.TODO:
        return None
    if state_of(view) is not AgentState.WAITING:
        return None
    return WriterRef(assignment.generation, assignment.writer)


def report_every_s(view: AgentView) -> float:
    return min(view.pace.report_every_s, view.lease_s / TRIES_A_LEASE)


def status_every_s(view: AgentView) -> float:
    """Either way alone must renew the lease, however short it was set."""
    return min(view.pace.status_every_s, view.lease_s / TRIES_A_LEASE)


def report_due(view: AgentView, news: str) -> bool:
    """`news`: what is `said` of this view."""
    telling = view.telling
    if telling.report_in_flight:
        return False
    quiet_s = view.now_s - telling.reported_s
    if quiet_s >= report_every_s(view):
        return True
    if telling.link_trouble:
        return quiet_s >= view.pace.report_again_s
    assignment = view.assignment
    if asking(view) is not None and assignment is not None and assignment.permission is None:
        # The question before a claim goes out the moment that a claim could be tried.
        return view.now_s >= assignment.claim_not_before_s
    changed = telling.report_now or telling.reported_state != news
    return changed and quiet_s >= CHANGE_EVERY_S


def status_due(view: AgentView, news: str) -> bool:
    """`news`: what is `said` of this view."""
    telling = view.telling
    if telling.status_in_flight:
        return False
    quiet_s = view.now_s - telling.status_s
    changed = telling.status_state != news
    return quiet_s >= status_every_s(view) or (changed and quiet_s >= CHANGE_EVERY_S)


def said(view: AgentView) -> str:
    """What a reader must hear of at once when it changes."""
    assignment = view.assignment
    if assignment is None:
        return f"idle {view.notice.kind if view.notice else ''}"
    durable = assignment.saving.durable
    return " ".join(
        (
            str(assignment.generation),
            state_of(view),
            assignment.writer,
            view.notice.kind if view.notice else "",
            durable.key if durable else "",
            str(assignment.trainer.exit),
            "trouble" if assignment.saving.trouble else "",
            *_for_the_gang(assignment),
        )
    )


def _for_the_gang(assignment: Assignment) -> tuple[str, ...]:
    """The other nodes read in its status what the first one brings to the bucket."""
    copy = assignment.saving.under_way
    if assignment.world_size == 1 or assignment.follows or copy is None:
        return ()
    return (f"uploads {copy.step}",)


def build_report(view: AgentView, why: str) -> Report:
    """The report as of now. Also the body of the status object."""
    identity, telling, assignment = view.identity, view.telling, view.assignment
    facts = tuple(
        replace(fact, age_s=round(max(0.0, view.now_s - at_s), 3))
        for fact, at_s in zip(telling.facts, telling.facts_s, strict=True)
    )
    report = Report(
        job=identity.job,
        generation=0,
        rank=0,
        instance=identity.instance,
        boot=identity.boot,
        seq=telling.seq,
        state=state_of(view),
        notice=_notice(view),
        facts=facts[:FACTS_PER_REPORT],
        why=why,
        lease_s=view.lease_s,
    )
    return report if assignment is None else _of_assignment(view, assignment, report)


def _of_assignment(view: AgentView, assignment: Assignment, report: Report) -> Report:
    progress = assignment.trainer.progress
    return replace(
        report,
        generation=assignment.generation,
        rank=assignment.rank,
        attempt=assignment.attempt,
        writer=assignment.writer,
        step=progress.step,
        step_age_s=None if assignment.trainer.step_s is None else view.now_s - assignment.trainer.step_s,
        save=_save_status(view, assignment),
        exit_code=_exit_code(assignment),
        failure=assignment.failure,
        metrics=dict(progress.metrics),
    )


def _exit_code(assignment: Assignment) -> int | None:
    if assignment.exit_code is not None:
        return assignment.exit_code
    return assignment.trainer.exit.code if assignment.trainer.exit is not None else None


def _notice(view: AgentView) -> Notice | None:
    notice = view.notice
    if notice is None:
        return None
    left_s = None if notice.deadline_s is None else max(0.0, notice.deadline_s - view.now_s)
    return Notice(notice.kind, left_s, notice.detail)


def _save_status(view: AgentView, assignment: Assignment) -> SaveStatus:
    now_s, saving = view.now_s, assignment.saving
    copy, chosen = saving.under_way, chosen_interval(view, assignment)
    since_s = saving.trouble_since_s if saving.trouble else saving.missing_since_s
    since_s = saving.trouble_since_s if since_s is None else since_s
    return SaveStatus(
        durable=saving.durable,
        durable_age_s=None if saving.durable_s is None else now_s - saving.durable_s,
        local_step=saving.found_step,
        uploading_step=copy.step if copy is not None else None,
        uploaded_bytes=saving.uploaded_bytes,
        upload_bytes=copy.bytes if copy is not None else 0,
        skipped=saving.skipped,
        refused=saving.refused,
        refused_why=saving.refused_why,
        trouble=saving.trouble or _missing(saving),
        trouble_age_s=None if since_s is None else now_s - since_s,
        save_s=saving.save_s,
        upload_s=saving.upload_s,
        state_bytes=saving.state_bytes,
        disk_free=saving.disk_free,
        stall_s=assignment.trainer.progress.stall_s,
        every_s=None if chosen is None else chosen.every_s,
        every_why="" if chosen is None else chosen.why,
    )


def _missing(saving: Saving) -> str:
    if not saving.missing or saving.under_way is None:
        return ""
    ranks = ", ".join(str(rank) for rank in saving.missing)
    return f"step {saving.under_way.step} waits for the part of node {ranks}"
