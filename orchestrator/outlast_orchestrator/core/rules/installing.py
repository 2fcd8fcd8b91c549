"""Rule 1, of installations: told once when they fail; a machine that can't be used ends. Pure."""

from __future__ import annotations

from outlast_orchestrator.core.errors import Capacity, Denied, Invalid
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.place import block_for
from outlast_orchestrator.core.rules.claimed import terminate
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import InstancePhase
from outlast_orchestrator.core.view import CallDone


def note_install(sheet: Sheet, done: CallDone) -> None:
    """It is repeated until the agent reports or its time is over; the same trouble again is no news."""
    machine = sheet.machines.get(done.call.key)
    if machine is None or machine.record.phase is not InstancePhase.BOOTING:
        return
    launch_id, problem = machine.record.launch_id, str(done.error or done.problem)
    if problem != machine.record.install_why:
        sheet.set_instance(launch_id, install_why=problem)
        kind, why = Kind.INSTALL_MENDED, "the agent is installed and started"
        sheet.log(Kind.INSTALL_TROUBLE if problem else kind, problem or why, launch=launch_id)
    if isinstance(done.error, (Invalid, Denied, Capacity)):
        scope = done.error.scope.key
        sheet.blocks[scope] = block_for(done.error, sheet.blocks.get(scope), sheet.view.now_at)
        if done.error.tell:
            sheet.log(Kind.TELL, f"{type(done.error).__name__}: {problem}", scope=scope)
        terminate(sheet, sheet.machines[launch_id], problem)
