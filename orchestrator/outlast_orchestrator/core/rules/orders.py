"""Rule 8: what each node is told: level-triggered, complete in every reply. Pure."""

from __future__ import annotations

from outlast.protocol.messages import (
    OVER,
    AgentState,
    Command,
    CommandKind,
    Permission,
    WriterRef,
)
from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.actions import Tell
from outlast_orchestrator.core.gang import all_wait, is_gang, peers_of
from outlast_orchestrator.core.rules.pointer import pointer_runs
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import Attempt, InstancePhase
from outlast_orchestrator.core.view import InstanceView

FINISH_S = 60.0  # for what a gang has on its way to the bucket when a node is lost
NOTICE_MARGIN_S = 10.0
LIMIT_STEP_S = 10.0
TOLD = (InstancePhase.BOOTING, InstancePhase.READY, InstancePhase.TERMINATING)


def give_orders(sheet: Sheet) -> None:
    for launch_id in sorted(sheet.machines):
        machine = sheet.machines[launch_id]
        if machine.record.phase in TOLD:
            sheet.tells.append(Tell(launch_id, _commands(sheet, machine)))


def _commands(sheet: Sheet, machine: InstanceView) -> tuple[Command, ...]:
    mine = [a for a in sheet.open_attempts() if machine.record.launch_id in a.launches]
    if not mine:
        return _after(sheet, machine)
    attempt = mine[-1]
    if attempt.claimed:
        return _for_claimed(sheet, machine, attempt)
    if attempt.abandoned:
        return (Command(CommandKind.ABANDON, attempt.generation, why=attempt.abandoned_why),)
    return _prepare(sheet, machine, attempt)


def _prepare(sheet: Sheet, machine: InstanceView, attempt: Attempt) -> tuple[Command, ...]:
    """A gang's first node may claim when all are ready; the others never do: they follow its claim."""
    assign = _assign(sheet, machine, attempt)
    if not is_gang(sheet, attempt):
        return (assign, _run(sheet, machine, attempt))
    if _rank(machine, attempt) > 0 or not (attempt.claimed or all_wait(sheet, attempt)):
        return (assign,)
    return (assign, _run(sheet, machine, attempt))


def _after(sheet: Sheet, machine: InstanceView) -> tuple[Command, ...]:
    """Its attempt is closed. A node of a gang that still trains in it can't know that yet."""
    last, heard = sheet.last_closed(), machine.heard
    if last is None or heard is None or machine.record.launch_id not in last.launches:
        return ()
    report = heard.report
    if len(last.launches) < 2 or report.generation != last.generation or report.state in OVER:
        return ()
    why = last.closing.why if last.closing is not None else "the attempt is over"
    return (Command(CommandKind.STOP, last.generation, why=why),)


def _for_claimed(sheet: Sheet, machine: InstanceView, attempt: Attempt) -> tuple[Command, ...]:
    gang = is_gang(sheet, attempt)
    if gang and _rank(machine, attempt) > 0 and not pointer_runs(sheet, attempt):
        return (Command(CommandKind.STOP, attempt.generation, why="the first node has left"),)
    if attempt.draining_since is not None:
        why = attempt.abandoned_why or sheet.progress.why
        if attempt.drain_now:
            finish_s = FINISH_S if gang else None
            return (Command(CommandKind.STOP, attempt.generation, why=why, limit_s=finish_s),)
        limit_s = _drain_limit_s(sheet, attempt) if gang else sheet.view.limits.drain_limit_s
        return (Command(CommandKind.DRAIN, attempt.generation, why=why, limit_s=limit_s),)
    heard = machine.heard
    claiming = heard is not None and heard.report.state is AgentState.WAITING
    if claiming:
        # Its claim was written, but it has not learned that yet: it asks before it looks again.
        return _prepare(sheet, machine, attempt)
    return ()


def _drain_limit_s(sheet: Sheet, attempt: Attempt) -> float:
    """All nodes leave before the first of them is taken, counted from when the attempt began to drain.

    In steps, so that the order does not change with every look at the clocks.
    """
    view, limit_s = sheet.view, sheet.view.limits.drain_limit_s
    since_s = view.now_at - (attempt.draining_since or view.now_at)
    for machine in sheet.machines_of(attempt):
        notice = None if machine.heard is None else machine.heard.report.notice
        if machine.heard is None or notice is None or notice.deadline_in_s is None:
            continue
        left_s = notice.deadline_in_s - (view.now_s - machine.heard.life_s) + since_s
        limit_s = min(limit_s, LIMIT_STEP_S * (max(0.0, left_s - NOTICE_MARGIN_S) // LIMIT_STEP_S))
    return limit_s


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
        market=machine.record.offer.market.value,
        peers=peers_of(sheet, attempt) if is_gang(sheet, attempt) else (),
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
