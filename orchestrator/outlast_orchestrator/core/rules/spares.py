"""Rule 7, where an attempt's machines come from: those that are there already, or a new launch. Pure."""

from __future__ import annotations

from outlast.protocol.messages import OVER, AgentState
from outlast_orchestrator.core.actions import Launch
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.evidence import is_silent
from outlast_orchestrator.core.place import Placed
from outlast_orchestrator.core.rules.machines import is_noticed
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import Asked, Attempt, Instance, InstancePhase, LaunchRequest
from outlast_orchestrator.core.view import InstanceView

ALIVE = (InstancePhase.LAUNCHING, InstancePhase.BOOTING, InstancePhase.READY)


def may_be_replaced(machine: InstanceView) -> bool:
    """A try whose outcome is uncertain is settled before the next; a node that reported is never swapped."""
    uncertain = machine.seen is None and machine.record.asked is not Asked.REFUSED
    return not uncertain and not machine.record.installed


def spares_of(sheet: Sheet) -> list[InstanceView]:
    """Ready, heard from, not about to end, and no open attempt's."""
    machines = [sheet.machines[launch] for launch in sorted(sheet.machines)]
    return [machine for machine in machines if _is_spare(sheet, machine)]


def _is_spare(sheet: Sheet, machine: InstanceView) -> bool:
    if not may_serve(sheet, machine):
        return False
    return all(machine.record.launch_id not in a.launches for a in sheet.open_attempts())


def may_serve(sheet: Sheet, machine: InstanceView) -> bool:
    """Ready, heard from, and not about to end."""
    if machine.record.phase is not InstancePhase.READY or machine.heard is None:
        return False
    return not is_silent(machine, sheet.view.limits) and not is_noticed(machine)


def is_free(machine: InstanceView) -> bool:
    """It says so itself. A node that left on a notice, with its report still on its way, is about to end."""
    state = machine.heard.report.state if machine.heard is not None else None
    return state in OVER or state is AgentState.IDLE


def intend(sheet: Sheet, attempt: Attempt, placed: Placed) -> Instance:
    """The exact request, saved before the call: whatever becomes of us, it can be repeated or found."""
    view, launch_id = sheet.view, sheet.fresh_id()
    request = LaunchRequest(
        token=f"{launch_id}-1",
        launch_id=launch_id,
        owner=view.job.owner,
        job=view.job.id,
        offer=placed.offer,
        others=placed.others,
        disk_gb=view.job.want.disk_gb,
        max_life_s=view.limits.instance_life_max_s,
    )
    record = Instance(launch_id, view.job.id, request, intended_at=view.now_at)
    sheet.add_instance(record)
    sheet.log(
        Kind.LAUNCH_INTENDED,
        placed.why,
        attempt,
        launch=record.launch_id,
        pool=placed.offer.pool,
        price_usd_h=placed.offer.price_usd_h,
    )
    sheet.call(Launch(record))
    return record
