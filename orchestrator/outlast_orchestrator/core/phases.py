"""The job's state, derived from its attempts and from what is wanted. Pure."""

from __future__ import annotations

from outlast.protocol.messages import AgentState
from outlast_orchestrator.core.evidence import lease_ends_in_s
from outlast_orchestrator.core.gang import is_gang, nodes_of, report_of
from outlast_orchestrator.core.rules.claimed import is_unreachable
from outlast_orchestrator.core.rules.people import goal_of
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import Attempt, AttemptPhase, JobState, Wanted
from outlast_orchestrator.core.view import InstanceView


def derive_state(sheet: Sheet) -> None:
    if goal_of(sheet).rests:
        _rest(sheet)
        return
    claimed, waiting = sheet.claimed(), sheet.unclaimed()
    if claimed is not None:
        _of_claimed(sheet, claimed, waiting)
    elif waiting is not None:
        _of_waiting(sheet, waiting)
    elif sheet.waiting_for:
        sheet.set_progress(why=f"{_without_wait(sheet.progress.why)}; waiting for {sheet.waiting_for}")
    elif sheet.progress.generation_max == 0:
        sheet.become(JobState.PENDING, "submitted; nothing has run yet")


def _without_wait(why: str) -> str:
    return why.split("; waiting for ")[0]


def _rest(sheet: Sheet) -> None:
    wanted, why = sheet.view.job.wanted, goal_of(sheet).why
    if sheet.open_attempts():
        if sheet.progress.state not in (JobState.SUCCEEDED, JobState.FAILED):
            sheet.set_progress(why=f"{why}: saving and stopping")
        return
    if wanted is Wanted.CANCELLED and sheet.progress.state is not JobState.SUCCEEDED:
        sheet.become(JobState.CANCELLED, f"{why}; its checkpoints stay")
    elif wanted is Wanted.PAUSED and sheet.progress.state not in (JobState.SUCCEEDED, JobState.FAILED):
        sheet.become(JobState.PAUSED, f"{why}; its machines are released, its checkpoints stay")


def _of_claimed(sheet: Sheet, claimed: Attempt, waiting: Attempt | None) -> None:
    limits = sheet.view.limits
    lost = is_unreachable(sheet, claimed)
    if lost is not None:
        closes_s = limits.lease_s + limits.lease_margin_s
        # No countdown in the stored text, or every tick would write it: the API adds the seconds left.
        problem = f" ({lost.region_problem})" if lost.region_problem else ""
        problem = _node(claimed, lost) + problem
        sheet.become(
            JobState.UNREACHABLE,
            f"generation {claimed.generation} is not heard from{problem}; nothing is done while it may live: "
            f"it counts as lost after {closes_s:.0f} s of silence, or when the cloud says that it is gone",
        )
        sheet.wake_in(min(5.0, max(0.1, lease_ends_in_s(lost, limits))))
        return
    if claimed.noticed:
        replacement = f"generation {waiting.generation} gets ready" if waiting else "a replacement is planned"
        sheet.become(JobState.RECOVERING, f"the cloud takes its machine away; {replacement}")
    elif claimed.phase is AttemptPhase.RUNNING:
        start = f"step {claimed.start_step}" if claimed.start_step else "the beginning"
        held_up = f"; {sheet.waiting_for}" if sheet.waiting_for else ""
        sheet.become(
            JobState.RUNNING, f"generation {claimed.generation} trains, resumed from {start}{held_up}"
        )
    elif claimed.phase is AttemptPhase.DRAINING:
        sheet.set_progress(why="it saves and stops")
    else:
        first = sheet.progress.durable is None
        state = JobState.STARTING if first else JobState.RECOVERING
        sheet.become(state, f"generation {claimed.generation} restores and starts")


def _of_machine(sheet: Sheet, waiting: Attempt) -> str:
    troubles = [machine.record.install_why for machine in sheet.machines_of(waiting)]
    return "its machine gets ready" + "".join(f"; {trouble}" for trouble in troubles if trouble)


def _of_gang(sheet: Sheet, waiting: Attempt) -> str:
    """How far each node is: what all others wait for must be seen."""
    nodes = nodes_of(sheet, waiting)
    missing = [str(node.rank) for node in nodes if node.machine is None]
    reports = {node.rank: report_of(node.machine, waiting) for node in nodes}
    ready = sum(1 for r in reports.values() if r is not None and r.state is AgentState.WAITING)
    text = f"{ready} of {len(nodes)} nodes are ready"
    if missing:
        text += f"; no machine yet for node {', '.join(missing)}"
    return f"{text}; {sheet.waiting_for}" if sheet.waiting_for else text


def _node(attempt: Attempt, machine: InstanceView) -> str:
    """Which node of a gang it is."""
    launches = attempt.launches
    return f" (node {launches.index(machine.record.launch_id)})" if len(launches) > 1 else ""


def _of_waiting(sheet: Sheet, waiting: Attempt) -> None:
    first = sheet.progress.durable is None and waiting.generation == 1
    state = JobState.STARTING if first else JobState.RECOVERING
    if not sheet.machines_of(waiting):
        if first:
            state = JobState.PENDING
        doing = f"waiting for {sheet.waiting_for}" if sheet.waiting_for else "a machine is asked for"
    elif waiting.phase is AttemptPhase.WAITING:
        doing = "its node is ready and waits for its turn"
    else:
        doing = _of_machine(sheet, waiting) if not is_gang(sheet, waiting) else _of_gang(sheet, waiting)
    sheet.become(state, f"generation {waiting.generation}: {doing}")
