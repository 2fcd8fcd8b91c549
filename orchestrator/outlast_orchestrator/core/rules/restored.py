"""Rule 3, once for each job after its store was restored from a backup: what happened since then. Pure.

Wishes are only in the store, so those since the backup are lost. Two of them can be told from the pointer:
a job that runs a newer generation was wanted, and one that left because it was told to may have been
paused or cancelled.
"""

from __future__ import annotations

from outlast.protocol.objects import ORDERED, Pointer, PointerState
from outlast.protocol.values import replace
from outlast_orchestrator.core.actions import Rewish
from outlast_orchestrator.core.rules.ending import fail
from outlast_orchestrator.core.rules.people import goal_of
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import OVER, JobState, Wanted


def note_backup(sheet: Sheet) -> None:
    """Outlast itself may have ended a machine after the backup: until it speaks, its end accuses nobody."""
    if not sheet.progress.restored:
        return
    for launch_id, machine in list(sheet.machines.items()):
        if machine.heard is None and not machine.record.from_backup:
            sheet.set_instance(launch_id, from_backup=True)


def settle_restored(sheet: Sheet) -> bool:
    """False when this decision ends here: the person's row has to be put right before anything else."""
    pointer = sheet.view.pointer.pointer
    if not sheet.progress.restored:
        return True
    newer = pointer is not None and pointer.generation > sheet.progress.generation_max
    if newer and pointer is not None and not _take_newer(sheet, pointer):
        return False
    if pointer is not None and _may_have_been_stopped(sheet, pointer):
        fail(
            sheet,
            f"generation {pointer.generation} had left after the backup that this store was restored from "
            f"({pointer.why}): a person may have stopped the job, so nothing was started",
        )
    sheet.set_progress(restored=False)
    return True


def _take_newer(sheet: Sheet, pointer: Pointer) -> bool:
    """A generation is planned only for a job that is wanted, and answers the restarts asked for before."""
    job, state = sheet.view.job, sheet.progress.state
    why = f"generation {pointer.generation} runs, so it was continued after the backup"
    if pointer.state is PointerState.RUNNING:
        if job.wanted is not Wanted.RUN:
            wanted = replace(job, wanted=Wanted.RUN, wanted_by=why, wanted_number=job.wanted_number + 1)
            sheet.call(Rewish(wanted, why))
            sheet.wake_in(0.0)
            return False
        if state in OVER or state is JobState.PAUSED:
            sheet.become(JobState.RECOVERING, why)
    sheet.set_progress(handled_number=job.wanted_number, restart_done=job.restart.number)
    return True


def _may_have_been_stopped(sheet: Sheet, pointer: Pointer) -> bool:
    if pointer.state is not PointerState.RELEASED or ORDERED not in pointer.why:
        return False
    known = sheet.attempts.get(pointer.generation)
    if known is not None and (not known.open or known.draining_since is not None):
        return False  # the store was there when it left, or when it was told to
    goal = goal_of(sheet)
    return not goal.rests and not goal.restart
