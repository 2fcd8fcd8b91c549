"""Rule 7: the next attempt, and a machine for it. Pure."""

from __future__ import annotations

from outlast_orchestrator.core.actions import TakeGeneration
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.gang import is_gang
from outlast_orchestrator.core.place import NotNow, place, standing
from outlast_orchestrator.core.ports import Policy
from outlast_orchestrator.core.rules.ending import fail
from outlast_orchestrator.core.rules.gang_machines import find_machines
from outlast_orchestrator.core.rules.people import goal_of
from outlast_orchestrator.core.rules.pointer import pointer_is_fresh
from outlast_orchestrator.core.rules.spares import ALIVE, intend, is_free, may_be_replaced, spares_of
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import Attempt
from outlast_orchestrator.core.view import CallKind

LAST_WORD_S = 15.0  # how long a node that has just left an attempt may take to say so


def plan(sheet: Sheet, policy: Policy) -> None:
    if goal_of(sheet).rests:
        return
    waiting = sheet.unclaimed()
    if waiting is None:
        _take_generation(sheet)
    elif waiting.abandoned:
        return
    elif is_gang(sheet, waiting):
        find_machines(sheet, waiting, policy)
    else:
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
    if any(m.record.phase in ALIVE or not may_be_replaced(m) for m in machines):
        return
    attempt = sheet.set_attempt(attempt, launches=())
    spares = spares_of(sheet)
    free = next((machine for machine in spares if is_free(machine)), None)
    if free is not None:
        sheet.set_attempt(attempt, launches=(free.record.launch_id,))
        sheet.log(Kind.ATTEMPT_ASSIGNED, "on the machine that is there already", attempt)
    elif spares and sheet.view.now_at - attempt.planned_at < LAST_WORD_S:
        sheet.waiting_for = "what its last machine says"
        sheet.wake_in(0.5)
    else:
        _launch(sheet, attempt, policy)


def _launch(sheet: Sheet, attempt: Attempt, policy: Policy) -> None:
    view = sheet.view
    if view.offers is None:
        sheet.waiting_for = "the clouds' offers"
        sheet.wake_in(1.0)
        return
    blocks = standing(sheet.blocks.values(), sheet.asked_at())
    placed = place(view.job, view.offers, blocks, policy, view.now_at, view.spent_usd)
    if isinstance(placed, NotNow):
        sheet.waiting_for = placed.why
        if placed.until is None:
            fail(sheet, f"no machine can be had: {placed.why}")
        else:
            sheet.wake_in(placed.until - view.now_at)
        return
    record = intend(sheet, attempt, placed)
    sheet.set_attempt(attempt, launches=(record.launch_id,))
