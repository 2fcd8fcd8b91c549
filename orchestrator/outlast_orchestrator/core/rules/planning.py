"""Rule 7: the next attempt, and a machine for it. Pure."""

from __future__ import annotations

from outlast.protocol.messages import OVER, AgentState
from outlast_orchestrator.core.actions import Launch, TakeGeneration
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.evidence import is_silent
from outlast_orchestrator.core.place import NotNow, Placed, place
from outlast_orchestrator.core.ports import Policy
from outlast_orchestrator.core.rules.ending import fail
from outlast_orchestrator.core.rules.machines import is_noticed
from outlast_orchestrator.core.rules.people import goal_of
from outlast_orchestrator.core.rules.pointer import pointer_is_fresh
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import Asked, Attempt, Instance, InstancePhase, LaunchRequest
from outlast_orchestrator.core.view import CallKind, InstanceView

ALIVE = (InstancePhase.LAUNCHING, InstancePhase.BOOTING, InstancePhase.READY)
LAST_WORD_S = 15.0  # how long a node that has just left an attempt may take to say so


def plan(sheet: Sheet, policy: Policy) -> None:
    if goal_of(sheet).rests:
        return
    waiting = sheet.unclaimed()
    if waiting is None:
        _take_generation(sheet)
    elif not waiting.abandoned:
        _find_machine(sheet, waiting, policy)


def _take_generation(sheet: Sheet) -> None:
    claimed = sheet.claimed()
    if claimed is not None and (not claimed.noticed or goal_of(sheet).restart):
        return  # it trains, or it is being drained for the restart that a person asked for
    wait_s = sheet.progress.retry_at - sheet.view.now_at
    if wait_s > 0:
        sheet.waiting_for = f"the next try in {wait_s:.0f} s"
        sheet.wake_in(wait_s)
        return
    if sheet.in_flight(CallKind.GENERATION, sheet.view.job.id) or not pointer_is_fresh(sheet):
        return
    pointer = sheet.view.pointer.pointer
    newest = max(sheet.progress.generation_max, pointer.generation if pointer is not None else 0)
    sheet.call(TakeGeneration(sheet.view.job.id, newest + 1))
    sheet.wake_in(0.5)


def _find_machine(sheet: Sheet, attempt: Attempt, policy: Policy) -> None:
    machines = sheet.machines_of(attempt)
    if any(m.record.phase in ALIVE or not _may_be_replaced(m) for m in machines):
        return
    attempt = sheet.set_attempt(attempt, launches=())
    spares = [machine for machine in _sorted(sheet) if _is_spare(sheet, machine)]
    free = next((machine for machine in spares if _is_free(machine)), None)
    if free is not None:
        sheet.set_attempt(attempt, launches=(free.record.launch_id,))
        sheet.log(Kind.ATTEMPT_ASSIGNED, "on the machine that is there already", attempt)
    elif spares and sheet.view.now_at - attempt.planned_at < LAST_WORD_S:
        sheet.waiting_for = "what its last machine says"
        sheet.wake_in(0.5)
    else:
        _launch(sheet, attempt, policy)


def _may_be_replaced(machine: InstanceView) -> bool:
    """A try whose outcome is uncertain is settled before the next; a node that reported is never swapped."""
    uncertain = machine.seen is None and machine.record.asked is not Asked.REFUSED
    return not uncertain and not machine.record.installed


def _sorted(sheet: Sheet) -> list[InstanceView]:
    return [sheet.machines[launch] for launch in sorted(sheet.machines)]


def _is_spare(sheet: Sheet, machine: InstanceView) -> bool:
    """Ready, heard from, not about to end, and no open attempt's."""
    if machine.record.phase is not InstancePhase.READY or machine.heard is None:
        return False
    if is_silent(machine, sheet.view.limits) or is_noticed(machine):
        return False
    return all(machine.record.launch_id not in a.launches for a in sheet.open_attempts())


def _is_free(machine: InstanceView) -> bool:
    """It says so itself. A node that left on a notice, with its report still on its way, is about to end."""
    state = machine.heard.report.state if machine.heard is not None else None
    return state in OVER or state is AgentState.IDLE


def _launch(sheet: Sheet, attempt: Attempt, policy: Policy) -> None:
    view = sheet.view
    if view.offers is None:
        sheet.waiting_for = "the clouds' offers"
        sheet.wake_in(1.0)
        return
    blocks = tuple(sheet.blocks.values())
    placed = place(view.job, view.offers, blocks, policy, view.now_at, view.spent_usd)
    if isinstance(placed, NotNow):
        sheet.waiting_for = placed.why
        if placed.until is None:
            fail(sheet, f"no machine can be had: {placed.why}")
        else:
            sheet.wake_in(placed.until - view.now_at)
        return
    record = _intent(sheet, placed)
    sheet.add_instance(record)
    sheet.set_attempt(attempt, launches=(record.launch_id,))
    sheet.log(
        Kind.LAUNCH_INTENDED,
        placed.why,
        attempt,
        launch=record.launch_id,
        pool=placed.offer.pool,
        price_usd_h=placed.offer.price_usd_h,
    )
    sheet.call(Launch(record))


def _intent(sheet: Sheet, placed: Placed) -> Instance:
    """The exact request, saved before the call: whatever becomes of us, it can be repeated or found."""
    view, launch_id = sheet.view, sheet.fresh_id()
    request = LaunchRequest(
        token=f"{launch_id}-1",
        launch_id=launch_id,
        owner=view.job.owner,
        job=view.job.id,
        offer=placed.offer,
        disk_gb=view.job.want.disk_gb,
        max_life_s=view.limits.instance_life_max_s,
    )
    return Instance(launch_id, view.job.id, request, intended_at=view.now_at)
