"""Rule 2: what the listings and the agents say of each machine. Pure.

A record goes launching → booting → ready → terminating → gone, and `gone` is written only with proof.
"""

from __future__ import annotations

from outlast_orchestrator.core.actions import Install, Launch, ListRegion, ReadPointer, Terminate
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.evidence import gone, is_silent
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import Asked, Instance, InstancePhase, Offer
from outlast_orchestrator.core.verdict import judge
from outlast_orchestrator.core.view import NEVER_S, CallKind, CloudState, InstanceView, Seen

REPEAT_LAUNCH_S = 5.0
REPEAT_TERMINATE_S = 15.0
REPEAT_INSTALL_S = 5.0
RELIST_S = 1.0  # while something is expected of a machine, or it is silent


def watch_machines(sheet: Sheet) -> None:
    for launch_id in sorted(sheet.machines):
        if sheet.machines[launch_id].record.phase is InstancePhase.GONE:
            continue
        _note_listed(sheet, launch_id)
        _bury(sheet, launch_id)
        _advance(sheet, launch_id)
        _note_notice(sheet, launch_id)
        _ask(sheet, launch_id)


def _note_listed(sheet: Sheet, launch_id: str) -> None:
    """What it is called and since when it costs, whatever became of its launch meanwhile: a machine that
    was given up before it was listed, or that was found ended, has its place in the books all the same."""
    machine = sheet.machines[launch_id]
    record, seen = machine.record, machine.seen
    if seen is None:
        return
    if not record.id:
        record = sheet.set_instance(
            launch_id, asked=Asked.ACCEPTED, id=seen.id, address=seen.address, taken=taken(record, seen)
        )
    # A public address comes after the private one; and the other nodes of a gang have to reach it.
    wanted = sheet.view.job.nodes > 1 or record.phase in (InstancePhase.LAUNCHING, InstancePhase.BOOTING)
    if wanted and seen.address and record.address != seen.address:
        record = sheet.set_instance(launch_id, address=seen.address)
    started_at = record.started_at if seen.started_at is None else seen.started_at
    if started_at is None and seen.state is not CloudState.ENDED:
        started_at = sheet.view.now_at  # until the cloud says it better
    if started_at != record.started_at:
        sheet.set_instance(launch_id, started_at=started_at)


def taken(record: Instance, seen: Seen) -> Offer | None:
    """Which of the request's pools the cloud took; None: the first, or one that it does not name."""
    return next(
        (
            offer
            for offer in record.request.others
            if (offer.zone, offer.instance_type) == (seen.zone, seen.instance_type)
        ),
        None,
    )


def _bury(sheet: Sheet, launch_id: str) -> None:
    machine = sheet.machines[launch_id]
    proof = gone(machine, sheet.view.limits)
    if proof is None or sheet.in_flight(CallKind.LAUNCH, machine.record.request.token):
        return
    if machine.heard is not None and not is_silent(machine, sheet.view.limits):
        return  # the agent still speaks: one of two witnesses is wrong, and we wait for them to agree
    if not _pointer_read_after(sheet, machine):
        # An end that it wrote with its last breath must be seen before anything is planned without it.
        sheet.call(ReadPointer(sheet.view.job.id))
        sheet.wake_in(0.2)
        return
    verdict = judge(machine)
    ended_at = machine.seen.ended_at if machine.seen is not None else None
    sheet.set_instance(
        launch_id,
        phase=InstancePhase.GONE,
        ended_at=ended_at if ended_at is not None else sheet.view.now_at,
        end_why=f"{verdict.verdict.value}: {verdict.why}",
    )
    sheet.log(
        Kind.INSTANCE_GONE, proof.why, launch=launch_id, verdict=verdict.verdict.value, judged=verdict.why
    )


def _pointer_read_after(sheet: Sheet, machine: InstanceView) -> bool:
    """The pointer was read after everything that this machine can have written, if it ever wrote."""
    if machine.heard is None and machine.record.phase in (InstancePhase.LAUNCHING, InstancePhase.BOOTING):
        return True
    life_s = machine.heard.life_s if machine.heard is not None else NEVER_S
    proof_s = max(machine.seen_s, life_s, *machine.absent_s)
    return not sheet.view.pointer.problem and sheet.view.pointer.begun_s > proof_s


def _advance(sheet: Sheet, launch_id: str) -> None:
    machine = sheet.machines[launch_id]
    record = machine.record
    if record.phase is InstancePhase.LAUNCHING and machine.seen is not None:
        record = sheet.set_instance(launch_id, phase=InstancePhase.BOOTING)
    if record.from_backup and machine.heard is not None:
        record = sheet.set_instance(launch_id, from_backup=False)
    if record.phase is InstancePhase.BOOTING and machine.heard is not None:
        sheet.set_instance(launch_id, phase=InstancePhase.READY, installed=True)
        sheet.log(Kind.INSTANCE_READY, "its agent reports", launch=launch_id, id=record.id)


def _note_notice(sheet: Sheet, launch_id: str) -> None:
    """The first notice's time decides about the provider's free first hour and about the verdict."""
    machine = sheet.machines[launch_id]
    announced = machine.seen is not None and machine.seen.interrupting
    if machine.record.first_noticed_at is None and (announced or _told_of_end(machine)):
        sheet.set_instance(launch_id, first_noticed_at=sheet.view.now_at)


def _told_of_end(machine: InstanceView) -> bool:
    notice = None if machine.heard is None else machine.heard.report.notice
    return notice is not None and notice.kind in ENDING_NOTICES


ENDING_NOTICES = ("terminate", "shutdown")


def is_noticed(machine: InstanceView) -> bool:
    """The cloud has announced that it takes this machine, and has not taken that back."""
    return _told_of_end(machine) or (machine.seen is not None and machine.seen.interrupting)


def _ask(sheet: Sheet, launch_id: str) -> None:
    """The call that brings this machine to its next phase, if it is time for one."""
    machine, view = sheet.machines[launch_id], sheet.view
    record, offer = machine.record, machine.record.offer
    if record.phase is InstancePhase.LAUNCHING and record.asked in (Asked.INTENDED, Asked.UNSURE):
        in_flight = sheet.in_flight(CallKind.LAUNCH, record.request.token)
        due = view.now_s - machine.asked_s >= REPEAT_LAUNCH_S
        # From the future: this controller's clock is behind the one that wrote it, and its age is unknown.
        young = 0.0 <= view.now_at - record.intended_at < view.limits.token_life_s
        # And this clock may be wrong, if another controller wrote it: whoever has looked first sends a token
        # that has outlived itself at most for a machine that is not there.
        looked = any(begun_s > machine.asked_s for begun_s in machine.absent_s)
        if not in_flight and due and young and looked:
            sheet.call(Launch(record))
    if record.phase is InstancePhase.BOOTING and machine.seen is not None:
        running = machine.seen.state is CloudState.RUNNING
        due = view.now_s - machine.install_s >= REPEAT_INSTALL_S
        if running and due and not record.installed and not sheet.in_flight(CallKind.INSTALL, launch_id):
            sheet.call(Install(record))
    if record.phase is InstancePhase.TERMINATING:
        due = view.now_s - machine.terminate_s >= REPEAT_TERMINATE_S
        if due and not sheet.in_flight(CallKind.TERMINATE, launch_id):
            sheet.call(Terminate(record))
    silent = record.phase is InstancePhase.READY and is_silent(machine, view.limits)
    age_s = view.now_s - max(machine.seen_s, *machine.absent_s, NEVER_S)
    settled = record.phase is InstancePhase.READY and not silent
    if not settled and age_s > RELIST_S:
        sheet.call(ListRegion(offer.cloud, offer.region))
    if record.phase is not InstancePhase.READY or silent:
        sheet.wake_in(1.0)
