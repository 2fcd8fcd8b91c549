"""Rule 5: the attempt that owns the job: notices, silence, loss, draining. Pure.

The table of design section 6. Unreachable is not dead: nothing is taken from an attempt without the
agent's silence *and* a second witness, or silence beyond the lease.
"""

from __future__ import annotations

from outlast.protocol.messages import AgentState
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.evidence import is_silent, lease_is_over, silence_s
from outlast_orchestrator.core.gang import is_gang, report_of, why_broken, writers
from outlast_orchestrator.core.rules.ending import close, fail, settle_loss
from outlast_orchestrator.core.rules.hold import awaits_hold
from outlast_orchestrator.core.rules.machines import is_noticed
from outlast_orchestrator.core.rules.people import goal_of
from outlast_orchestrator.core.rules.pointer import pointer_is_fresh, pointer_runs
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import Attempt, AttemptPhase, InstancePhase
from outlast_orchestrator.core.verdict import Judged, Verdict, judge
from outlast_orchestrator.core.view import InstanceView

DRAIN_GRACE_S = 60.0
NOTICE, NODE_LOST = "notice", "node lost"  # causes to drain a gang that wait for nothing
GIVEN_UP = (AgentState.FAILED, AgentState.FENCED)

PHASES = {
    AgentState.RESTORING: AttemptPhase.RESTORING,
    AgentState.RUNNING: AttemptPhase.RUNNING,
    AgentState.DRAINING: AttemptPhase.DRAINING,
}


def follow_claimed(sheet: Sheet) -> None:
    attempt = sheet.claimed()
    if attempt is None:
        return
    attempt = _follow_reports(sheet, attempt)
    attempt = _follow_notice(sheet, attempt)
    attempt = _follow_gang(sheet, attempt)
    attempt = _drain(sheet, attempt)
    _lose(sheet, attempt)


def _follow_reports(sheet: Sheet, attempt: Attempt) -> Attempt:
    for machine in writers(sheet, attempt):
        heard = machine.heard
        if heard is None or heard.report.generation != attempt.generation:
            continue
        phase = PHASES.get(heard.report.state, attempt.phase)
        if phase is not attempt.phase:
            started = phase is AttemptPhase.RUNNING and attempt.running_at is None
            running_at = sheet.view.now_at if started else attempt.running_at
            attempt = sheet.set_attempt(attempt, phase=phase, running_at=running_at)
            if started:
                sheet.log(Kind.ATTEMPT_RUNNING, heard.report.why or "the trainer runs", attempt)
        step = heard.report.step
        if not attempt.stepped and step is not None and step > (attempt.start_step or 0):
            attempt = sheet.set_attempt(attempt, stepped=True)
    return attempt


def _follow_notice(sheet: Sheet, attempt: Attempt) -> Attempt:
    machines = sheet.machines_of(attempt)
    noticed = any(is_noticed(m) for m in machines)
    if noticed and not attempt.noticed:
        return sheet.set_attempt(attempt, noticed=True)
    if is_gang(sheet, attempt) and attempt.draining_since is not None:
        return attempt  # all its nodes were told to leave, and most can't be called back
    if attempt.noticed and not noticed and machines and all(_trains(sheet, attempt, m) for m in machines):
        # Only the node itself can take a notice back, and only while it still trains.
        sheet.log(Kind.NOTICE_WITHDRAWN, "the node says that its notice is gone; it goes on", attempt)
        return sheet.set_attempt(attempt, noticed=False)
    return attempt


def _trains(sheet: Sheet, attempt: Attempt, machine: InstanceView) -> bool:
    """By its own word of now. An agent that was restarted speaks of no attempt: its trainer died with it."""
    if machine.heard is None or is_silent(machine, sheet.view.limits):
        return False
    report = machine.heard.report
    return report.generation == attempt.generation and report.state is AgentState.RUNNING


def _follow_gang(sheet: Sheet, attempt: Attempt) -> Attempt:
    """It can't train without all its nodes: what is saved is saved, and the first node releases."""
    leaves = attempt.draining_since is not None  # each node in its own time, the first one last
    if leaves or not is_gang(sheet, attempt) or not pointer_runs(sheet, attempt):
        return attempt
    why = why_broken(sheet, attempt)
    if not why:
        return attempt
    now_at = sheet.view.now_at
    attempt = sheet.set_attempt(
        attempt, abandoned=True, abandoned_why=why, draining_since=now_at, drain_now=True
    )
    sheet.log(Kind.ATTEMPT_DRAINING, why, attempt, now=True, cause=NODE_LOST)
    _heed_person(sheet, attempt)
    return attempt


def _heed_person(sheet: Sheet, attempt: Attempt) -> None:
    """A machine of a gang that a person ends means what it means for a single one."""
    for machine in sheet.machines.values():
        if machine.record.launch_id not in attempt.launches:
            continue
        verdict = judge(machine)
        if machine.record.phase is InstancePhase.GONE and verdict.stops_the_job:
            fail(sheet, f"{verdict.why}. A machine that a person ends stays ended: the job was stopped")


def _drain(sheet: Sheet, attempt: Attempt) -> Attempt:
    goal = goal_of(sheet)
    taken = attempt.noticed and is_gang(sheet, attempt)
    if not (goal.rests or goal.restart or attempt.abandoned or taken):
        return attempt
    cause, why = _cause_to_drain(sheet, attempt, taken=taken)
    now_at = sheet.view.now_at
    waits = attempt.draining_since is None and not goal.rests and not taken
    if waits and (held_up := awaits_hold(sheet)):
        sheet.waiting_for = held_up
        return attempt
    if attempt.draining_since is None:
        drain_now = goal.restart and sheet.view.job.restart.now
        attempt = sheet.set_attempt(attempt, draining_since=now_at, drain_now=drain_now)
        sheet.log(Kind.ATTEMPT_DRAINING, why, attempt, now=drain_now, cause=cause)
    limit_s = sheet.view.limits.drain_limit_s + DRAIN_GRACE_S
    overdue_s = now_at - (attempt.draining_since or now_at) - limit_s
    why = f"it was asked to drain and did not end within {limit_s:.0f} s"
    if overdue_s <= 0:
        if not has_given_up(sheet, attempt):
            sheet.wake_in(-overdue_s + 0.1)
            return attempt
        why = "its agent has given up, and can't say so in the pointer"
    elif not (goal.rests or goal.restart) and _may_only_be_cut_off(sheet, attempt, limit_s):
        sheet.wake_in(5.0)  # what happened to another node is no reason to end a machine that may be at work
        return attempt
    _end_writers(sheet, attempt, why)
    return attempt


def _cause_to_drain(sheet: Sheet, attempt: Attempt, *, taken: bool) -> tuple[str, str]:
    """In a word and in words: what waits for least comes first."""
    goal = goal_of(sheet)
    if goal.rests:
        return "wish", goal.why
    if taken:
        return NOTICE, "the cloud takes a machine of the gang away"
    if goal.restart:
        return "restart", "a restart was asked for"
    return "given up", attempt.abandoned_why


def _may_only_be_cut_off(sheet: Sheet, attempt: Attempt, limit_s: float) -> bool:
    """The first node of a gang may not have heard that it has to leave, or not for so long.

    It is silent within its lease, or it has just come back from that: only a node that has said all the
    time that it leaves is overdue.
    """
    if not is_gang(sheet, attempt):
        return False
    limits = sheet.view.limits
    for machine in writers(sheet, attempt):
        if is_silent(machine, limits) and not lease_is_over(machine, limits):
            return True
        report = report_of(machine, attempt)
        if report is None or machine.heard is None or lease_is_over(machine, limits):
            continue
        works = report.state in (AgentState.RESTORING, AgentState.RUNNING)
        leaves = report.state is AgentState.DRAINING
        if works or (leaves and sheet.view.now_s - machine.heard.state_s < limit_s):
            return True
    return False


def _end_writers(sheet: Sheet, attempt: Attempt, why: str) -> None:
    """The first node's machine: without it nobody writes. The others of a gang may serve again."""
    for machine in writers(sheet, attempt):
        if machine.record.phase not in (InstancePhase.TERMINATING, InstancePhase.GONE):
            terminate(sheet, machine, why)


def has_given_up(sheet: Sheet, attempt: Attempt) -> bool:
    """Its first node says that nothing of it runs any more, and that it will not write for it again."""
    living = [m for m in writers(sheet, attempt) if m.record.phase is not InstancePhase.GONE]
    reports = [None if m.heard is None else m.heard.report for m in living]
    return bool(reports) and all(
        report is not None and report.generation == attempt.generation and report.state in GIVEN_UP
        for report in reports
    )


def terminate(sheet: Sheet, machine: InstanceView, why: str) -> None:
    sheet.set_instance(machine.record.launch_id, phase=InstancePhase.TERMINATING, terminate_why=why)
    sheet.log(Kind.INSTANCE_TERMINATING, why, launch=machine.record.launch_id)
    sheet.wake_in(0.0)


def _lose(sheet: Sheet, attempt: Attempt) -> None:
    """Closes the attempt when there is proof that its trainer can't run any more."""
    machines = writers(sheet, attempt)
    lost = next((m for m in machines if m.record.phase is InstancePhase.GONE), None)
    limits = sheet.view.limits
    expired = next((m for m in machines if lease_is_over(m, limits)), None)
    if lost is not None:
        verdict = judge(lost)
        _close_lost(sheet, attempt, verdict, ("the agent is silent", lost.record.end_why))
    elif attempt.launches and attempt.launches[0] and not machines:
        # Its machine was proven gone before its (late) claim was seen.
        gone = Judged(Verdict.PROBABLY_PREEMPTED, "its machine had been proven gone")
        _close_lost(sheet, attempt, gone, ("the agent is silent", "all its machines are gone"))
    elif expired is not None:
        beyond = f"silent for {silence_s(expired):.0f} s, beyond the lease"
        if not pointer_is_fresh(sheet):
            return
        _close_lost(sheet, attempt, Judged(Verdict.HOST_LOST, beyond), (beyond,))
        _end_writers(sheet, attempt, beyond)
    elif not any(attempt.launches[:1]) and sheet.view.listening_s > limits.lease_s + limits.lease_margin_s:
        unknown = f"no machine of it is known, and nothing was heard for {sheet.view.listening_s:.0f} s"
        if pointer_is_fresh(sheet):
            _close_lost(sheet, attempt, Judged(Verdict.HOST_LOST, unknown), (unknown,))


def _close_lost(sheet: Sheet, attempt: Attempt, verdict: Judged, witnesses: tuple[str, ...]) -> None:
    attempt = close(sheet, attempt, verdict.why, witnesses, verdict.verdict.value)
    if verdict.stops_the_job and attempt.draining_since is None:
        fail(sheet, f"{verdict.why}. A machine that a person ends stays ended: the job was stopped")
        return
    settle_loss(sheet, attempt, f"{verdict.verdict.value}: {verdict.why}")


def is_unreachable(sheet: Sheet, attempt: Attempt) -> InstanceView | None:
    """The machine that is not heard from, if there is one."""
    for machine in sheet.machines_of(attempt):
        if machine.record.phase is InstancePhase.READY and is_silent(machine, sheet.view.limits):
            return machine
    return None
