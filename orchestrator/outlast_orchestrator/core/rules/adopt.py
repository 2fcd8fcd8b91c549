"""Rule 3, for what the store does not know because it came from a backup: it is taken over. Pure."""

from __future__ import annotations

from outlast.protocol.messages import AgentState
from outlast.protocol.objects import ManifestRef, Pointer
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.gang import NO_MACHINE
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import Attempt, AttemptPhase
from outlast_orchestrator.core.view import InstanceView

AT_WORK = (
    AgentState.PREPARING,
    AgentState.WAITING,
    AgentState.RESTORING,
    AgentState.RUNNING,
    AgentState.DRAINING,
)


def use_up(sheet: Sheet, start_from: ManifestRef | None) -> None:
    """What a person or a failure allowed holds until somebody has claimed with it: a machine that is lost
    before its claim must not take the permission with it, nor an attempt that was planned before the wish
    and claims late."""
    chosen = sheet.progress.pending_start_from
    sheet.set_progress(pending_over_ended="", pending_start_from=None if chosen == start_from else chosen)


def adopt_owner(sheet: Sheet, pointer: Pointer) -> None:
    """The pointer names a generation that the store has never heard of: the pointer is the truth."""
    start = pointer.started_from
    attempt = Attempt(
        job=sheet.view.job.id,
        generation=pointer.generation,
        id=f"adopted-{pointer.generation}",
        revision=sheet.view.job.revision,
        planned_at=sheet.view.now_at,
        planned_why="adopted from the pointer",
        phase=AttemptPhase.RUNNING,
        claimed=True,
        writer=pointer.writer,
        start_step=start.step if start is not None else 0,
    )
    attempt = link_machines(sheet, attempt, pointer)
    sheet.put_attempt(attempt)
    sheet.set_progress(generation_max=pointer.generation)
    use_up(sheet, sheet.progress.pending_start_from)  # an old store's wish: what runs is newer
    sheet.log(Kind.ATTEMPT_ADOPTED, "the pointer names a generation that the store does not know", attempt)


def link_machines(sheet: Sheet, attempt: Attempt, pointer: Pointer) -> Attempt:
    """Its owner's machines are those that the pointer names, as soon as a listing shows them.

    An old store knows others or none; a machine that trains must never look like one that nobody needs.
    """
    ids = [ref.id for ref in pointer.instances]
    rank = {
        launch: ids.index(name) for launch, m in sheet.machines.items() if (name := _name(m, ids)) is not None
    }
    if rank.keys() <= set(attempt.launches):
        return attempt
    known = dict(enumerate(attempt.launches)) if len(ids) > 1 else {}
    known.update({rank: launch for launch, rank in rank.items()})
    return sheet.set_attempt(attempt, launches=_by_rank(known, len(ids)))


def _by_rank(known: dict[int, str], size: int) -> tuple[str, ...]:
    return tuple(known.get(rank, NO_MACHINE) for rank in range(size))


def _name(machine: InstanceView, ids: list[str]) -> str | None:
    """Under which of its two ids the pointer names it."""
    record = machine.record
    if record.id and record.id in ids:
        return record.id
    return record.launch_id if record.launch_id in ids else None


def adopt_reported(sheet: Sheet) -> None:
    """A node works for a generation above all that store and pointer know: the store is an old one, and
    its claim may be on its way. It becomes the unclaimed attempt that it is."""
    pointer = sheet.view.pointer.pointer
    known = max(sheet.progress.generation_max, pointer.generation if pointer is not None else 0)
    found: dict[int, list[InstanceView]] = {}
    for machine in sheet.machines.values():
        heard = machine.heard
        if heard is not None and heard.report.generation > known and heard.report.state in AT_WORK:
            found.setdefault(heard.report.generation, []).append(machine)
    for generation, machines in sorted(found.items()):
        if generation not in sheet.attempts:
            _adopt_unclaimed(sheet, generation, machines)


def _adopt_unclaimed(sheet: Sheet, generation: int, machines: list[InstanceView]) -> None:
    ranks = {m.record.launch_id: m.heard.report.rank for m in machines if m.heard is not None}
    first = min(machines, key=lambda m: ranks[m.record.launch_id])
    report = first.heard.report if first.heard is not None else None
    attempt = Attempt(
        job=sheet.view.job.id,
        generation=generation,
        id=report.attempt if report is not None else f"adopted-{generation}",
        revision=sheet.view.job.revision,
        planned_at=sheet.view.now_at,
        planned_why="adopted from its node's report",
        launches=_by_rank(
            {rank: launch for launch, rank in ranks.items()},
            max(sheet.view.job.nodes, max(ranks.values()) + 1),
        ),
        writer=report.writer if report is not None else "",
    )
    sheet.put_attempt(attempt)
    sheet.set_progress(generation_max=generation)
    sheet.log(Kind.ATTEMPT_ADOPTED, "a node works for a generation that the store does not know", attempt)
