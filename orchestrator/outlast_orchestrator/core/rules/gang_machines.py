"""Rule 7 for gangs: machines for all ranks, near each other, all within a time or elsewhere. Pure.

The nodes of a gang have to reach each other and to be alike, so one cloud, one region and one kind of machine
serve all of them. A gang that is not complete in time is tried elsewhere: half a gang is paid for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.gang import NO_MACHINE, nodes_of, slots_of, with_slot
from outlast_orchestrator.core.place import NotNow, place, standing
from outlast_orchestrator.core.ports import Policy
from outlast_orchestrator.core.rules.ending import fail
from outlast_orchestrator.core.rules.spares import (
    ALIVE,
    intend,
    is_free,
    may_be_replaced,
    may_serve,
    spares_of,
)
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import (
    Attempt,
    Block,
    BlockedBy,
    Instance,
    InstancePhase,
    Job,
    Offer,
)
from outlast_orchestrator.core.view import InstanceView

LAST_WORD_S = 60.0  # how long the nodes of the last attempt may take to say that they are free
REGION_BLOCK_S = 900.0  # where a gang could not be completed it is not tried again so soon
LISTED = (InstancePhase.BOOTING, InstancePhase.READY)


@dataclass(frozen=True)
class Site:
    """Where all nodes of one attempt are, and what kind of machine they have."""

    cloud: str
    region: str
    kind: str  # instance type

    @property
    def where(self) -> str:
        return f"{self.cloud}/{self.region}"


def _site(offer: Offer) -> Site:
    return Site(offer.cloud, offer.region, offer.instance_type)


def _site_of(machine: InstanceView) -> Site:
    return _site(machine.record.offer)


# too late


def is_overdue(sheet: Sheet, attempt: Attempt) -> bool:
    left_s = _left_s(sheet, attempt)
    return left_s is not None and left_s <= 0.0


def why_overdue(sheet: Sheet, attempt: Attempt) -> str:
    left_s = _left_s(sheet, attempt)
    if left_s is None:
        return ""
    if left_s > 0.0:
        sheet.wake_in(left_s + 0.1)
        return ""
    nodes = nodes_of(sheet, attempt)
    there = sum(1 for node in nodes if _is_listed(node.machine))
    limit_s = sheet.view.limits.gang_limit_s
    return f"only {there} of {len(nodes)} machines could be had within {limit_s:.0f} s"


def _left_s(sheet: Sheet, attempt: Attempt) -> float | None:
    """How long it may still take until the last machine is listed; None: all are, or none yet."""
    nodes = nodes_of(sheet, attempt)
    listed = [node.machine.record for node in nodes if node.machine is not None and _is_listed(node.machine)]
    if not listed or len(listed) == len(nodes):
        return None
    since_at = min(_since_at(sheet, attempt, record) for record in listed)
    return since_at + sheet.view.limits.gang_limit_s - sheet.view.now_at


def _is_listed(machine: InstanceView | None) -> bool:
    return machine is not None and machine.record.phase in LISTED


def _since_at(sheet: Sheet, attempt: Attempt, record: Instance) -> float:
    started_at = record.started_at if record.started_at is not None else sheet.view.now_at
    return max(attempt.planned_at, started_at)


def _block_scope(sheet: Sheet, where: str) -> str:
    """This job's own: another one may find there what it needs."""
    return f"gang/{sheet.view.job.id}/{where}"


def block_region(sheet: Sheet, attempt: Attempt) -> None:
    for machine in sheet.machines_of(attempt):
        _block(sheet, _site_of(machine).where, attempt.abandoned_why)


def _block(sheet: Sheet, where: str, why: str) -> None:
    now_at, scope = sheet.view.now_at, _block_scope(sheet, where)
    sheet.blocks[scope] = Block(scope, BlockedBy.CAPACITY, now_at + REGION_BLOCK_S, why, since=now_at)


def _blocked_until(sheet: Sheet, where: str) -> float | None:
    block = sheet.blocks.get(_block_scope(sheet, where))
    if block is None or block.until is None or block.until <= sheet.view.now_at:
        return None
    return block.until


# machines


def find_machines(sheet: Sheet, attempt: Attempt, policy: Policy) -> None:
    """Fills the ranks that have no machine: with those of the last attempt first, then with new ones."""
    attempt = _drop_dead(sheet, attempt)
    site = _site_for(sheet, attempt)
    attempt = _take_spares(sheet, attempt, site)
    empty = [rank for rank, launch in enumerate(slots_of(sheet, attempt)) if launch == NO_MACHINE]
    coming = _coming(sheet, attempt, site)
    if coming:
        sheet.waiting_for = f"{len(coming)} machines of the last attempt"
        sheet.wake_in(1.0)
    for rank in empty[: max(0, len(empty) - len(coming))]:
        if not sheet.has_ids():
            sheet.wake_in(0.0)  # the next decision brings more
            return
        if not _launch(sheet, sheet.attempts[attempt.generation], rank, policy):
            return


def wants(sheet: Sheet, attempt: Attempt, machine: InstanceView) -> bool:
    """A machine of the last attempt that is not free yet, while this one has ranks to fill."""
    slots = slots_of(sheet, attempt)
    if len(slots) == 1 or NO_MACHINE not in slots:
        return False
    return machine in _coming(sheet, attempt, _site_for(sheet, attempt))


def _drop_dead(sheet: Sheet, attempt: Attempt) -> Attempt:
    """A machine that never spoke leaves its rank to another. (One that did is a reason to give it up.)"""
    for node in nodes_of(sheet, attempt):
        machine = node.machine
        if machine is None or machine.record.phase in ALIVE:
            continue
        never_spoke = machine.record.phase is InstancePhase.GONE and not machine.record.installed
        if never_spoke or may_be_replaced(machine):
            left = with_slot(slots_of(sheet, attempt), node.rank, NO_MACHINE)
            attempt = sheet.set_attempt(attempt, launches=left)
    return attempt


def _site_for(sheet: Sheet, attempt: Attempt) -> Site | None:
    """Where its machines are; before it has one, where most of the last attempt's are; None: anywhere."""
    for machine in sheet.machines_of(attempt):
        return _site_of(machine)
    counts: dict[Site, int] = {}
    offered = {_site(offer) for offer in sheet.view.offers or ()}
    for machine in _survivors(sheet):
        site = _site_of(machine)
        if site in offered and _blocked_until(sheet, site.where) is None:
            counts[site] = counts.get(site, 0) + 1
    return max(counts, key=lambda site: (counts[site], site.where, site.kind), default=None)


def _survivors(sheet: Sheet) -> list[InstanceView]:
    """Spares, and what the attempt before will leave: its machines that nobody takes away."""
    claimed = sheet.claimed()
    leaving = [] if claimed is None else [m for m in sheet.machines_of(claimed) if may_serve(sheet, m)]
    return [*spares_of(sheet), *leaving]


def _take_spares(sheet: Sheet, attempt: Attempt, site: Site | None) -> Attempt:
    for machine in spares_of(sheet):
        slots = slots_of(sheet, attempt)
        if site is None or NO_MACHINE not in slots:
            break
        if _site_of(machine) != site or not is_free(machine):
            continue
        rank = slots.index(NO_MACHINE)
        launches = with_slot(slots, rank, machine.record.launch_id)
        attempt = sheet.set_attempt(attempt, launches=launches)
        sheet.log(Kind.ATTEMPT_ASSIGNED, "on a machine that is there already", attempt, rank=rank)
    return attempt


def _coming(sheet: Sheet, attempt: Attempt, site: Site | None) -> list[InstanceView]:
    """Machines there that will be free in a moment."""
    if site is None:
        return []
    last = sheet.last_closed()
    closed_at = last.closing.at if last is not None and last.closing is not None else 0.0
    begun_at = max(attempt.planned_at, closed_at)
    found = [m for m in _survivors(sheet) if _site_of(m) == site and not _is_assigned(attempt, m)]
    if sheet.claimed() is None and sheet.view.now_at - begun_at >= LAST_WORD_S:
        return [machine for machine in found if is_free(machine)]
    return found


def _is_assigned(attempt: Attempt, machine: InstanceView) -> bool:
    return machine.record.launch_id in attempt.launches


def _launch(sheet: Sheet, attempt: Attempt, rank: int, policy: Policy) -> bool:
    """False: nothing more can be asked for now."""
    view = sheet.view
    if view.offers is None:
        sheet.waiting_for = "the clouds' offers"
        sheet.wake_in(1.0)
        return False
    offers, until = _offers(sheet, attempt, view.offers)
    if not offers and until is not None:
        sheet.waiting_for = "a region where the whole gang could be had"
        sheet.wake_in(until - view.now_at)
        return False
    near = _nearest_first(sheet, attempt, policy)
    blocks = standing(sheet.blocks.values(), sheet.asked_at())
    placed = place(view.job, offers, blocks, near, view.now_at, view.spent_usd, alone=True)
    if isinstance(placed, NotNow):
        sheet.waiting_for = f"node {rank}: {placed.why}"
        if placed.until is not None:
            sheet.wake_in(placed.until - view.now_at)
        elif not sheet.machines_of(attempt):
            _nowhere(sheet, attempt, placed.why)
        return False
    record = intend(sheet, attempt, placed)
    sheet.set_attempt(attempt, launches=with_slot(slots_of(sheet, attempt), rank, record.launch_id))
    return True


def _nowhere(sheet: Sheet, attempt: Attempt, why: str) -> None:
    """Beside the machines of the last attempt none can be had, ever; without them, elsewhere, perhaps."""
    site = _site_for(sheet, attempt)
    if site is None:
        fail(sheet, f"no machine can be had: {why}")
        return
    _block(sheet, site.where, why)
    sheet.wake_in(0.0)


def _offers(
    sheet: Sheet, attempt: Attempt, offers: tuple[Offer, ...]
) -> tuple[tuple[Offer, ...], float | None]:
    """Those that fit to the machines it has, or those of regions that may be tried; until when none may."""
    site = _site_for(sheet, attempt)
    if site is not None:
        return tuple(offer for offer in offers if _site(offer) == site), None
    blocked = {offer: _blocked_until(sheet, _site(offer).where) for offer in offers}
    free = tuple(offer for offer, until in blocked.items() if until is None)
    until = min((until for until in blocked.values() if until is not None), default=None)
    return free, None if free else until


def _nearest_first(sheet: Sheet, attempt: Attempt, policy: Policy) -> Policy:
    """The policy's order, but offers in the zone of the machines that it has come first."""
    zones = {machine.record.offer.zone for machine in sheet.machines_of(attempt)}

    def order(job: Job, offers: Sequence[Offer], spent_usd: float) -> Sequence[Offer]:
        ordered = policy(job, offers, spent_usd)
        return sorted(ordered, key=lambda offer: bool(zones) and offer.zone not in zones)

    return order
