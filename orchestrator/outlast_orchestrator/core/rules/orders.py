"""Rule 8: what each node is told: level-triggered, complete in every reply. Pure."""

from __future__ import annotations

from outlast.protocol.messages import (
    AgentState,
    Command,
    CommandKind,
    Permission,
    WriterRef,
)
from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.actions import Tell
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import Attempt, InstancePhase
from outlast_orchestrator.core.view import InstanceView

TOLD = (InstancePhase.BOOTING, InstancePhase.READY, InstancePhase.TERMINATING)


def give_orders(sheet: Sheet) -> None:
    for launch_id in sorted(sheet.machines):
        machine = sheet.machines[launch_id]
        if machine.record.phase in TOLD:
            sheet.tells.append(Tell(launch_id, _commands(sheet, machine)))


def _commands(sheet: Sheet, machine: InstanceView) -> tuple[Command, ...]:
    mine = [a for a in sheet.open_attempts() if machine.record.launch_id in a.launches]
    if not mine:
        return ()
    attempt = mine[-1]
    if attempt.claimed:
        return _for_claimed(sheet, machine, attempt)
    if attempt.abandoned:
        return (Command(CommandKind.ABANDON, attempt.generation, why=attempt.abandoned_why),)
    return (_assign(sheet, machine, attempt), _run(sheet, machine, attempt))


def _for_claimed(sheet: Sheet, machine: InstanceView, attempt: Attempt) -> tuple[Command, ...]:
    if attempt.draining_since is not None:
        why = attempt.abandoned_why or sheet.progress.why
        if attempt.drain_now:
            return (Command(CommandKind.STOP, attempt.generation, why=why),)
        limit_s = sheet.view.limits.drain_limit_s
        return (Command(CommandKind.DRAIN, attempt.generation, why=why, limit_s=limit_s),)
    heard = machine.heard
    claiming = heard is not None and heard.report.state is AgentState.WAITING
    if claiming:
        # Its claim was written, but it has not learned that yet: it asks before it looks again.
        return (_assign(sheet, machine, attempt), _run(sheet, machine, attempt))
    return ()


def _rank(machine: InstanceView, attempt: Attempt) -> int:
    return attempt.launches.index(machine.record.launch_id)


def _assign(sheet: Sheet, machine: InstanceView, attempt: Attempt) -> Command:
    return Command(
        CommandKind.ASSIGN,
        attempt.generation,
        rank=_rank(machine, attempt),
        world_size=len(attempt.launches),
        attempt=attempt.id,
        why=attempt.planned_why,
        work=sheet.view.job.work,
        market=machine.record.request.offer.market.value,
    )


def _run(sheet: Sheet, machine: InstanceView, attempt: Attempt) -> Command:
    return Command(
        CommandKind.RUN,
        attempt.generation,
        rank=_rank(machine, attempt),
        world_size=len(attempt.launches),
        attempt=attempt.id,
        permission=_permission(sheet, attempt),
    )


def _permission(sheet: Sheet, attempt: Attempt) -> Permission:
    """What this attempt may claim over. Each item names one writer, and is dropped when that one is past."""
    pointer, progress = sheet.view.pointer.pointer, sheet.progress
    over_ended = None
    ended = pointer is not None and pointer.state is PointerState.ENDED
    if pointer is not None and ended and pointer.writer == attempt.permission_over_ended:
        over_ended = WriterRef(pointer.generation, pointer.writer)
    durable = progress.durable
    return Permission(
        closed=tuple(WriterRef(generation, writer) for generation, writer in progress.closed),
        over_ended=over_ended,
        start_from=attempt.start_from,
        durable_step=durable.step if durable is not None else None,
    )
