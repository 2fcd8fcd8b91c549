"""Rule 4b: the checkpoint that a person chose to start from is held in the bucket until it is claimed. Pure.

Held first, drained only when the hold is listed: until then the attempt that runs may still let it go. The
intent is in the progress before the object is in the bucket, so that none is forgotten there.
"""

from __future__ import annotations

from outlast.protocol.objects import ManifestRef, PointerState
from outlast_orchestrator.core.actions import Hold
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.rules.pointer import pointer_is_fresh
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.view import CallKind

AGAIN_S = 2.0


def hold_chosen(sheet: Sheet) -> None:
    """Brings the hold in the bucket in line with what is chosen; gives a choice up that has left."""
    chosen = sheet.progress.pending_start_from
    if chosen is not None and _has_left(sheet, chosen):
        _too_late(sheet, chosen)
        chosen = None
    wanted = chosen.name if chosen is not None else ""
    progress = sheet.progress
    if progress.hold == wanted and (progress.hold_done or not wanted):
        return
    if progress.hold != wanted:
        # What may lie in the bucket is both, until the call that puts the one and removes the other is done.
        sheet.set_progress(hold=wanted or progress.hold, hold_done=False)
    if not sheet.in_flight(CallKind.HOLD, sheet.view.job.id):
        sheet.call(Hold(sheet.view.job.id, wanted))
    sheet.wake_in(AGAIN_S)


def note_hold(sheet: Sheet, name: str) -> None:
    """A call has put this hold there ("" : removed all)."""
    if not name:
        sheet.set_progress(hold="", hold_done=False)
    elif name == sheet.progress.hold:
        sheet.set_progress(hold_done=True)


def awaits_hold(sheet: Sheet) -> str:
    """Why what runs may not be drained yet, "" if it may."""
    chosen, pointer = sheet.progress.pending_start_from, sheet.view.pointer.pointer
    if chosen is None or pointer is None or pointer.state is not PointerState.RUNNING:
        return ""
    held = sheet.progress.hold == chosen.name and sheet.progress.hold_done
    if held and chosen.name in pointer.pinned:
        return ""
    return f"a restart from step {chosen.step} waits until {chosen.name} is held"


def _has_left(sheet: Sheet, chosen: ManifestRef) -> bool:
    pointer = sheet.view.pointer.pointer
    return pointer is not None and chosen not in pointer.kept and pointer_is_fresh(sheet)


def _too_late(sheet: Sheet, chosen: ManifestRef) -> None:
    """The wish is void. What runs goes on, and a job that rested goes on as it would have."""
    name = sheet.view.job.name
    why = (
        f"too late to restart from step {chosen.step}: {chosen.name} is no longer kept. "
        f"The job goes on as it was; `outlast checkpoints ls {name}` shows what there is"
    )
    sheet.log(Kind.TELL, why)
    done = max(sheet.progress.restart_done, sheet.view.job.restart.number)
    sheet.set_progress(pending_start_from=None, restart_done=done)
    for waiting in sheet.open_attempts():
        if not waiting.claimed and waiting.start_from == chosen:
            sheet.set_attempt(waiting, start_from=None)
