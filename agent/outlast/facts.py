"""Facts for the event log, and the few ways in which the view changes that several rules share. Pure."""

from __future__ import annotations

from outlast.protocol.messages import Fact
from outlast.protocol.values import replace
from outlast.view import AgentView, Assignment, Saving

FACTS_MAX = 500  # while the controller is away; the oldest go first

# The kinds that an agent tells, as in the controller's closed list.
AGENT_STARTED = "agent.started"
AGENT_FENCED = "agent.fenced"
NOTICE_SEEN = "notice.seen"
NOTICE_WITHDRAWN = "notice.withdrawn"
TRAINER_STARTED = "trainer.started"
TRAINER_STEPPED = "trainer.stepped"
TRAINER_EXITED = "trainer.exited"
SAVE_FOUND = "save.found"
SAVE_SKIPPED = "save.skipped"
SAVE_DISCARDED = "save.discarded"
SAVE_QUARANTINED = "save.quarantined"
SAVE_ASKED = "save.asked"
UPLOAD_STARTED = "upload.started"
RESTORE_STARTED = "restore.started"
RESTORE_DONE = "restore.done"
RESTORE_PREFETCHED = "restore.prefetched"
CADENCE_CHANGED = "cadence.changed"
SETUP_DONE = "setup.done"
ENVIRONMENT_KEPT = "environment.kept"
ENVIRONMENT_REUSED = "environment.reused"
ENVIRONMENT_SKIPPED = "environment.skipped"
OUTPUTS_DONE = "outputs.done"
STORAGE_TROUBLE = "storage.trouble"
STORAGE_MENDED = "storage.mended"
TELL = "tell"


def note(view: AgentView, kind: str, why: str, **data: str) -> AgentView:
    """Adds a fact; it is repeated in every report until the controller has it."""
    telling = view.telling
    number = telling.facts_made + 1
    if view.assignment is not None:
        data.setdefault("generation", str(view.assignment.generation))
    facts = (*telling.facts, Fact(number, 0.0, kind, why, data))[-FACTS_MAX:]
    facts_s = (*telling.facts_s, view.now_s)[-FACTS_MAX:]
    return replace(
        view,
        telling=replace(telling, facts=facts, facts_s=facts_s, facts_made=number, report_now=True),
    )


def with_assignment(view: AgentView, assignment: Assignment) -> AgentView:
    return replace(view, assignment=assignment)


def with_saving(view: AgentView, saving: Saving) -> AgentView:
    assert view.assignment is not None
    return replace(view, assignment=replace(view.assignment, saving=saving))
