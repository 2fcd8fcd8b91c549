"""Rule 6: the attempt that waits for its turn: given up if unwanted, closed if it can't come. Pure.

To abandon is not to close: its claim may be on its way. It is closed only when the pointer, read after it
acknowledged or after its machine was proven gone, does not name it.
"""

from __future__ import annotations

from outlast.protocol.messages import AgentState, Failure, Report
from outlast_orchestrator.core.actions import ReadPointer
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.evidence import is_silent, lease_is_over, silence_s
from outlast_orchestrator.core.gang import NO_MACHINE, is_gang, nodes_of, report_of, writers
from outlast_orchestrator.core.rules.claimed import terminate
from outlast_orchestrator.core.rules.ending import close, plan_again, settle_failure
from outlast_orchestrator.core.rules.gang_machines import block_region, is_overdue, why_overdue
from outlast_orchestrator.core.rules.machines import is_noticed
from outlast_orchestrator.core.rules.people import goal_of
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import Attempt, AttemptPhase, InstancePhase
from outlast_orchestrator.core.view import InstanceView

NODE_FAILED = "failed on node"
ACKNOWLEDGED = (AgentState.ABANDONED, AgentState.FAILED, AgentState.FENCED)
PHASES = {AgentState.PREPARING: AttemptPhase.PREPARING, AgentState.WAITING: AttemptPhase.WAITING}


def follow_unclaimed(sheet: Sheet) -> None:
    for attempt in sheet.open_attempts():
        if attempt.claimed:
            continue
        attempt = _follow_reports(sheet, attempt)
        attempt = _abandon(sheet, attempt)
        _finish(sheet, attempt)


def _report(machine: InstanceView, attempt: Attempt) -> Report | None:
    heard = machine.heard
    if heard is None or heard.report.generation != attempt.generation:
        return None
    return heard.report


def _follow_reports(sheet: Sheet, attempt: Attempt) -> Attempt:
    for machine in sheet.machines_of(attempt):
        report = _report(machine, attempt)
        if report is None:
            continue
        phase = PHASES.get(report.state, attempt.phase)
        if report.writer and report.writer != attempt.writer:
            attempt = sheet.set_attempt(attempt, writer=report.writer)
        if phase is not attempt.phase:
            attempt = sheet.set_attempt(attempt, phase=phase)
    return attempt if not is_gang(sheet, attempt) else _gang_phase(sheet, attempt)


def _gang_phase(sheet: Sheet, attempt: Attempt) -> Attempt:
    """It waits when all its nodes do."""
    reports = [report_of(node.machine, attempt) for node in nodes_of(sheet, attempt)]
    waits = all(report is not None and report.state is AgentState.WAITING for report in reports)
    return sheet.set_attempt(attempt, phase=AttemptPhase.WAITING if waits else AttemptPhase.PREPARING)


def _abandon(sheet: Sheet, attempt: Attempt) -> Attempt:
    why = _why_unwanted(sheet, attempt)
    if attempt.abandoned or not why:
        return attempt
    attempt = sheet.set_attempt(attempt, abandoned=True, abandoned_why=why)
    sheet.log(Kind.ATTEMPT_ABANDONED, why, attempt)
    if is_gang(sheet, attempt) and is_overdue(sheet, attempt):
        block_region(sheet, attempt)
    return attempt


def _why_unwanted(sheet: Sheet, attempt: Attempt) -> str:
    if goal_of(sheet).rests:
        return goal_of(sheet).why
    if goal_of(sheet).restart:
        return "a restart was asked for after it was planned"
    pointer = sheet.view.pointer.pointer
    if pointer is not None and pointer.generation > attempt.generation:
        return f"generation {pointer.generation} has claimed after it"  # only an old store can have it open
    claimed = sheet.claimed()
    if claimed is not None and not claimed.noticed and claimed.draining_since is None:
        return f"generation {claimed.generation} goes on after all"
    machines = sheet.machines_of(attempt)
    if is_gang(sheet, attempt) and (broken := _why_broken(sheet, attempt)):
        return broken
    if any(is_noticed(m) for m in machines):
        return "its own machine is being taken away"
    # Only an agent can be silent: a machine that is not there yet is a matter of launching and booting.
    expired = [m for m in machines if m.record.installed and lease_is_over(m, sheet.view.limits)]
    if expired:
        return f"its node has been silent for {silence_s(expired[0]):.0f} s, beyond the lease"
    limit_s = sheet.view.limits.prepare_limit_s
    if attempt.phase is AttemptPhase.PREPARING and _preparing_s(sheet, attempt) > limit_s:
        return f"it was not ready within {limit_s:.0f} s"
    return ""


def _why_broken(sheet: Sheet, attempt: Attempt) -> str:
    """Why this gang will never be complete, or not soon enough; "" while it may."""
    for node in nodes_of(sheet, attempt):
        report = report_of(node.machine, attempt)
        if node.is_gone and (node.machine is None or node.machine.record.installed):
            return f"node {node.rank} lost its machine before the claim"
        if report is not None and report.state is AgentState.FAILED:
            return f"{NODE_FAILED} {node.rank}: {report.failure.message if report.failure else report.why}"
        if report is not None and report.state in ACKNOWLEDGED:
            return f"node {node.rank} has left: {report.why}"
    return why_overdue(sheet, attempt)


def _preparing_s(sheet: Sheet, attempt: Attempt) -> float:
    """For how long its node has been heard to get ready, by this controller.

    An hour without a machine, or without a controller, is no reason to give up.
    """
    view = sheet.view
    heard = [machine.heard for machine in sheet.machines_of(attempt) if machine.heard is not None]
    listened_s = max((view.now_s - one.state_s for one in heard), default=0.0)
    return min(view.now_at - attempt.planned_at, listened_s)


def _finish(sheet: Sheet, attempt: Attempt) -> None:
    failure = _failure(sheet, attempt)
    if failure is not None and is_gang(sheet, attempt):
        _finish_failed_gang(sheet, attempt, failure)
        return
    if failure is not None:
        if _read_since_acknowledged(sheet, attempt):
            close(sheet, attempt, failure.message, ("the agent says so", "the pointer does not name it"))
            if not attempt.abandoned:
                settle_failure(sheet, attempt, failure)
        return
    if attempt.abandoned:
        _finish_abandoned(sheet, attempt)
    elif _was_told(sheet, attempt) and not sheet.machines_of(attempt):
        close(sheet, attempt, "its machine was lost before it claimed", ("its machine is gone",))
        plan_again(sheet, 0.0, "the replacement's machine was lost; another one is planned")


def _finish_failed_gang(sheet: Sheet, attempt: Attempt, failure: Failure) -> None:
    """One node failed; the others have to hear that before it is over, for the first one may claim."""
    before = sheet.attempts[attempt.generation]
    _finish_abandoned(sheet, attempt)
    closed = not sheet.attempts[attempt.generation].open
    if closed and before.abandoned_why.startswith(NODE_FAILED):
        settle_failure(sheet, sheet.attempts[attempt.generation], failure)


def _failure(sheet: Sheet, attempt: Attempt) -> Failure | None:
    for machine in sheet.machines_of(attempt):
        report = _report(machine, attempt)
        if report is not None and report.state is AgentState.FAILED:
            return report.failure or Failure("setup", report.why or "the node gave up without a reason")
    return None


def _finish_abandoned(sheet: Sheet, attempt: Attempt) -> None:
    machines = sheet.machines_of(attempt)
    why = attempt.abandoned_why
    if is_gang(sheet, attempt):
        machines = [m for m in writers(sheet, attempt) if m in machines]  # nobody else can claim
    if not machines or not _was_told(sheet, attempt):
        close(sheet, attempt, why, ("it was never told to run" if machines else "its machine is gone",))
        return
    expired = [m for m in machines if lease_is_over(m, sheet.view.limits)]
    if expired:
        # Its lease is over, so nothing runs there; a claim that still arrives is drained as a late one.
        close(sheet, attempt, why, ("silent beyond the lease",))
        for machine in expired:
            if machine.record.phase is not InstancePhase.TERMINATING:
                terminate(sheet, machine, why)
    elif _acknowledged(sheet, attempt) and _read_since_acknowledged(sheet, attempt):
        close(sheet, attempt, why, ("the agent acknowledged", "the pointer does not name it"))


def _was_told(sheet: Sheet, attempt: Attempt) -> bool:
    """A machine that reported may have been told to run; one that never did can't have been."""
    launches = attempt.launches
    launches = tuple(launch for launch in launches if launch != NO_MACHINE)
    records = [sheet.machines[launch].record for launch in launches if launch in sheet.machines]
    if len(records) < len(launches):
        return True  # gone before this tick: we can't know any more, so we assume it
    return any(r.installed for r in records)


def _acknowledged(sheet: Sheet, attempt: Attempt) -> bool:
    """All its nodes say that they will not claim, or speak of an older generation: they never heard of it.

    A node asks before every try, and a reply to a node that has not spoken of this generation carries no
    permission for it; since it is abandoned, no later reply will.
    """
    for machine in sheet.machines_of(attempt):
        heard = machine.heard
        if is_gang(sheet, attempt) and _needs_no_answer(sheet, attempt, machine):
            continue
        if heard is None:
            return False
        report = heard.report
        spoken = report.generation == attempt.generation
        if spoken and report.state not in ACKNOWLEDGED:
            return False
    return True


def _needs_no_answer(sheet: Sheet, attempt: Attempt, machine: InstanceView) -> bool:
    """It never claims, and is silent or was never told: when it speaks again it is told."""
    if machine.record.launch_id == attempt.launches[0]:
        return False
    return not machine.record.installed or is_silent(machine, sheet.view.limits)


def _read_since_acknowledged(sheet: Sheet, attempt: Attempt) -> bool:
    times = [m.heard.state_s for m in sheet.machines_of(attempt) if m.heard is not None]
    if all(sheet.view.pointer.begun_s > at_s for at_s in times):
        return True
    sheet.call(ReadPointer(sheet.view.job.id))
    sheet.wake_in(0.2)
    return False
