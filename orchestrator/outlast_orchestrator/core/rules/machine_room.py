"""Rule 9: machines that nothing needs are ended, all others are kept. Pure."""

from __future__ import annotations

from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.evidence import is_silent
from outlast_orchestrator.core.rules.claimed import terminate
from outlast_orchestrator.core.rules.gang_machines import wants
from outlast_orchestrator.core.rules.machines import is_noticed
from outlast_orchestrator.core.rules.people import goal_of
from outlast_orchestrator.core.rules.spares import may_serve
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import InstancePhase, JobState, Wanted
from outlast_orchestrator.core.view import InstanceView

KEEP_FOR_RETRY_S = 120.0
FREE_HOUR_S = 3600.0
NOTICE_OVERDUE_S = 600.0
LOOK_AGAIN_S = 30.0


def release_machines(sheet: Sheet) -> None:
    needed = {launch for a in sheet.open_attempts() for launch in a.launches}
    for launch_id in sorted(sheet.machines):
        machine = sheet.machines[launch_id]
        if machine.record.phase in (InstancePhase.TERMINATING, InstancePhase.GONE):
            continue
        if launch_id in needed:
            _give_up_on_boot(sheet, machine)
        elif _may_serve_again(sheet, machine):
            continue
        elif (left_s := _held_for_s(sheet, machine)) > 0.0:
            sheet.wake_in(min(left_s, LOOK_AGAIN_S))
        elif _is_unknown(sheet, machine):
            sheet.wake_in(1.0)
        elif _ends_for_free(sheet, machine):
            sheet.wake_in(LOOK_AGAIN_S)
        else:
            terminate(sheet, machine, goal_of(sheet).why if goal_of(sheet).rests else "no attempt needs it")


def _give_up_on_boot(sheet: Sheet, machine: InstanceView) -> None:
    """A machine that is listed but whose agent never spoke: paid for nothing."""
    if machine.record.phase is not InstancePhase.BOOTING or machine.heard is not None:
        return
    limit_s = sheet.view.limits.boot_limit_s
    booting_s = sheet.view.now_at - (machine.record.started_at or sheet.view.now_at)
    if machine.unheard_s > limit_s and booting_s > limit_s:
        last = f"; the last try to install it: {why}" if (why := machine.record.install_why) else ""
        terminate(sheet, machine, f"its agent was not heard within {limit_s:.0f} s of the start{last}")
        sheet.log(
            Kind.TELL, f"a machine came up, but its agent did not{last}", launch=machine.record.launch_id
        )


def _may_serve_again(sheet: Sheet, machine: InstanceView) -> bool:
    """The next attempt is about to be planned and can run here: the environment is warm."""
    if goal_of(sheet).rests or machine.record.phase is not InstancePhase.READY:
        return False
    if is_noticed(machine) or is_silent(machine, sheet.view.limits):
        return False
    waiting = sheet.unclaimed()
    if waiting is not None and not waiting.abandoned:
        return wants(sheet, waiting, machine)  # a single one has its own machine by now
    claimed = sheet.claimed()
    if claimed is not None and not goal_of(sheet).restart:
        return False
    return sheet.progress.retry_at - sheet.view.now_at <= KEEP_FOR_RETRY_S


def _held_for_s(sheet: Sheet, machine: InstanceView) -> float:
    """How long this machine of a job that failed is still left on, for a person to look; 0: not at all."""
    job, progress, last = sheet.view.job, sheet.progress, sheet.last_closed()
    if progress.state is not JobState.FAILED or job.wanted is not Wanted.RUN or last is None:
        return 0.0
    if machine.record.launch_id not in last.launches or not may_serve(sheet, machine):
        return 0.0
    return job.work.hold_s - (sheet.view.now_at - progress.since)


def _is_unknown(sheet: Sheet, machine: InstanceView) -> bool:
    """Found in a listing, and its agent has not said yet what it works for."""
    if not machine.record.adopted or machine.heard is not None:
        return False
    return machine.unheard_s <= sheet.view.limits.boot_limit_s


def _ends_for_free(sheet: Sheet, machine: InstanceView) -> bool:
    """In a spot instance's first hour some clouds charge nothing if they end it, but do if we end it."""
    record = machine.record
    if not sheet.view.limits.first_hour_free or record.first_noticed_at is None:
        return False
    if record.started_at is None or record.first_noticed_at - record.started_at > FREE_HOUR_S:
        return False
    return sheet.view.now_at - record.first_noticed_at < NOTICE_OVERDUE_S
