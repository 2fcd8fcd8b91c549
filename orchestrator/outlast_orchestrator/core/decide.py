"""What one job needs now: the whole controller's thinking, as one pure function. Pure.

`decide` looks at everything that is known of a job and returns what to do and why. It reads no clock and
draws no random numbers, so the same view gives the same decision, in production and in the simulation.
The rules apply in this order, each in a file of `rules/`:

1. answers       what came back from earlier calls
2. machines      what the listings and the agents say of each machine; `gone` only with proof
3. pointer       what the bucket says is what happened; nothing is planned on what can't be read
4. people        what is wanted: run, pause, cancel, restart; the checkpoint chosen for it is held
5. claimed       the attempt that owns the job: notices, silence, loss, draining; does its state fit
6. unclaimed     the attempt that waits for its turn: given up, or closed
7. planning      the next attempt, and a machine for it
8. orders        what each node is told
9. machine room  machines that nothing needs are ended

It is level-triggered: each rule looks at how things are, not at what happened, so a tick that was missed,
repeated or cut short by a crash changes nothing.
"""

from __future__ import annotations

from outlast_orchestrator.core.actions import Decision
from outlast_orchestrator.core.phases import derive_state
from outlast_orchestrator.core.ports import Policy
from outlast_orchestrator.core.rules.adopt import adopt_reported
from outlast_orchestrator.core.rules.answers import take_answers
from outlast_orchestrator.core.rules.claimed import follow_claimed
from outlast_orchestrator.core.rules.hold import hold_chosen
from outlast_orchestrator.core.rules.machine_room import release_machines
from outlast_orchestrator.core.rules.machines import watch_machines
from outlast_orchestrator.core.rules.measures import watch_fit
from outlast_orchestrator.core.rules.orders import give_orders
from outlast_orchestrator.core.rules.people import heed_people, note_wish
from outlast_orchestrator.core.rules.planning import plan
from outlast_orchestrator.core.rules.pointer import look_at_pointer, take_pointer
from outlast_orchestrator.core.rules.restored import note_backup, settle_restored
from outlast_orchestrator.core.rules.unclaimed import follow_unclaimed
from outlast_orchestrator.core.rules.unreadable import hold_still
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.view import JobView


def decide(view: JobView, policy: Policy) -> Decision:
    """The next actions for one job, with the reason that people are shown, and when to look again."""
    sheet = Sheet(view)
    note_wish(sheet)
    take_answers(sheet)
    note_backup(sheet)
    watch_machines(sheet)
    if not look_at_pointer(sheet):
        hold_still(sheet)
        return sheet.decision()
    if not settle_restored(sheet):
        return sheet.decision()
    take_pointer(sheet)
    adopt_reported(sheet)
    heed_people(sheet)
    hold_chosen(sheet)
    follow_claimed(sheet)
    watch_fit(sheet)
    follow_unclaimed(sheet)
    plan(sheet, policy)
    give_orders(sheet)
    release_machines(sheet)
    derive_state(sheet)
    return sheet.decision()
