"""Rule 5b: what a checkpoint takes is kept, and a misfit with disk or notice is told once. Pure."""

from __future__ import annotations

from outlast.protocol.messages import SaveStatus
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.fit import Load, misfits
from outlast_orchestrator.core.sheet import Sheet

NOTABLE = 0.25  # a smaller change of what was measured is not written into the store


def watch_fit(sheet: Sheet) -> None:
    attempt = sheet.claimed()
    if attempt is None:
        return
    for machine in sheet.machines_of(attempt)[:1]:
        heard = machine.heard
        if heard is None or heard.report.generation != attempt.generation:
            return
        save = heard.report.save
        _note(sheet, save)
        if save.state_bytes is None and (save.save_s is None or save.upload_s is None):
            return  # this attempt has measured nothing yet: that is no misfit, and mends none
        offer, want = machine.record.offer, sheet.view.job.want
        load = Load(
            offer.cloud, sheet.view.limits.notice_s, save.state_bytes, save.save_s, save.upload_s,
            want.disk_gb, save.disk_free,
        )  # fmt: skip
        found = misfits(load, sheet.progress.unfit)
        kinds = tuple(one.kind for one in found)
        if kinds == sheet.progress.unfit or (not kinds and save.state_bytes is None):
            return  # (without a size it has measured too little to mend anything)
        for one in found:
            if one.kind not in sheet.progress.unfit:
                sheet.log(Kind.FIT_WARNING, one.text, attempt, misfit=one.kind)
        for kind in sheet.progress.unfit:
            if kind not in kinds:
                sheet.log(Kind.FIT_MENDED, f"it fits again: {kind}", attempt, misfit=kind)
        sheet.set_progress(unfit=kinds)


def _note(sheet: Sheet, save: SaveStatus) -> None:
    progress = sheet.progress
    if (
        _differs(progress.state_bytes, save.state_bytes)
        or _differs(progress.save_s, save.save_s)
        or _differs(progress.upload_s, save.upload_s)
    ):
        sheet.set_progress(
            state_bytes=save.state_bytes or progress.state_bytes,
            save_s=progress.save_s if save.save_s is None else save.save_s,
            upload_s=progress.upload_s if save.upload_s is None else save.upload_s,
        )


def _differs(known: float | None, seen: float | None) -> bool:
    if seen is None:
        return False
    return known is None or abs(known - seen) > NOTABLE * max(known, seen)
