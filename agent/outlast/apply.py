"""What an act changes in the view at the moment it is handed out: mostly, that it is under way. Pure."""

from __future__ import annotations

from outlast.acts import (
    Act,
    AskSave,
    Begin,
    Claim,
    Commit,
    End,
    FinishOutputs,
    Join,
    Kill,
    Leave,
    LeaveOut,
    Over,
    PowerOff,
    Prepare,
    Prune,
    Recover,
    Release,
    Remember,
    Restore,
    Settle,
    Start,
    Stay,
    Upload,
)
from outlast.facts import (
    CADENCE_CHANGED,
    RESTORE_STARTED,
    SAVE_ASKED,
    UPLOAD_STARTED,
    note,
    with_assignment,
    with_saving,
)
from outlast.health import health_failure
from outlast.interval import notable
from outlast.next_save import chosen_interval
from outlast.protocol.messages import HEALTH, AgentState, WriterRef
from outlast.protocol.values import replace
from outlast.verdict import failure_of
from outlast.view import AgentView, Ask, Assignment, Chore, Plan, Stage


def apply(view: AgentView, act: Act) -> AgentView:
    """The view after `act` was handed to its task."""
    if isinstance(act, Begin):
        return _begin(view, act)
    if isinstance(act, Recover):
        return replace(view, recovering=True)
    if isinstance(act, PowerOff):
        return replace(view, powering_off=True)
    if view.assignment is None:
        return view
    if isinstance(act, (Prepare, Remember, Claim, Join, Restore, Start)):
        return with_assignment(_starting(view, view.assignment, act), _start(view.assignment, act))
    if isinstance(act, (Upload, LeaveOut, Commit, Prune)):
        return _ship(view, view.assignment, act)
    return _lead_out(view, view.assignment, act)


def _begin(view: AgentView, act: Begin) -> AgentView:
    """A new assignment. The last one's writer is kept in mind: a claim of it may still be under way."""
    command, past, last = act.command, view.past, view.assignment
    assert command.work is not None
    if last is not None and last.writer:
        writer = WriterRef(last.generation, last.writer)
        past = past if writer in past else (*past, writer)
    assignment = Assignment(
        command.generation,
        command.rank,
        command.attempt,
        command.work,
        command.world_size,
        command.market,
        command.peers,
    )
    return replace(view, assignment=assignment, past=past, generation_max=command.generation)


def _starting(view: AgentView, assignment: Assignment, act: Act) -> AgentView:
    if isinstance(act, Restore) and assignment.restore_tries == 0:
        head = assignment.pointer.head if assignment.pointer is not None else None
        return note(view, RESTORE_STARTED, f"head is {head.name}" if head else "there is no checkpoint yet")
    return view


def _start(assignment: Assignment, act: Act) -> Assignment:
    if isinstance(act, Prepare):
        return replace(assignment, prepare=Chore.DOING)
    if isinstance(act, Remember):
        return replace(assignment, remember=Chore.DOING)
    if isinstance(act, Join):
        return replace(assignment, claim=Chore.DOING)
    if isinstance(act, Claim):
        return replace(assignment, claim=Chore.DOING, permission=None)
    if isinstance(act, Restore):
        return replace(assignment, restore=Chore.DOING)
    return replace(assignment, trainer=replace(assignment.trainer, stage=Stage.STARTING))


def _ship(view: AgentView, assignment: Assignment, act: Upload | LeaveOut | Commit | Prune) -> AgentView:
    saving = assignment.saving
    if isinstance(act, LeaveOut):
        return with_saving(view, replace(saving, uploading=True))
    if isinstance(act, Commit):
        return with_saving(view, replace(saving, committing=True))
    if isinstance(act, Prune):
        return with_saving(view, replace(saving, prune=Chore.DOING, pruned_s=view.now_s))
    first = act.copy is not saving.under_way
    saving = replace(
        saving,
        under_way=act.copy,
        waiting=None if act.copy is saving.waiting else saving.waiting,
        uploading=True,
        upload_since_s=view.now_s if first else saving.upload_since_s,
        uploaded_bytes=0,
    )
    view = with_saving(view, saving)
    if first:
        view = note(
            view, UPLOAD_STARTED, f"step {act.copy.step}", step=str(act.copy.step), bytes=str(act.copy.bytes)
        )
    return view


def _lead_out(view: AgentView, assignment: Assignment, act: Act) -> AgentView:
    trainer = assignment.trainer
    if isinstance(act, AskSave):
        ask = Ask(view.now_s, act.final, act.why)
        view = with_assignment(view, replace(assignment, ask=ask))
        view = note(view, SAVE_ASKED, act.why, final=str(act.final).lower())
        return _tell_interval(view)
    if isinstance(act, Leave):
        return with_assignment(view, replace(assignment, plan=act.plan, plan_why=act.why))
    if isinstance(act, Stay):
        withdrawn = None if assignment.ask is None else replace(assignment.ask, withdrawn=True)
        ask_done = withdrawn if assignment.plan is Plan.SAVE else assignment.ask
        return with_assignment(view, replace(assignment, plan=None, plan_why="", ask=ask_done))
    if isinstance(act, Kill):
        killed = replace(trainer, stage=Stage.ENDING, killed_why=trainer.killed_why or act.why)
        return with_assignment(view, replace(assignment, trainer=killed))
    if isinstance(act, Settle):
        return with_assignment(view, replace(assignment, trainer=replace(trainer, stage=Stage.SETTLING)))
    if isinstance(act, FinishOutputs):
        return with_assignment(view, replace(assignment, outputs=Chore.DOING))
    if isinstance(act, (Release, End)):
        return with_assignment(view, _closing(assignment, act))
    if isinstance(act, Over):
        if act.state is AgentState.FAILED and assignment.failure is None and trainer.exit is not None:
            failure = health_failure(act.why) or failure_of(trainer.exit.code, trainer.exit.tail)
            assignment = replace(assignment, failure=failure)
        return with_assignment(view, over(assignment, act.state, act.why, view.now_s))
    return view


def _tell_interval(view: AgentView) -> AgentView:
    """Under `every: auto`, when it has changed notably since people heard of it."""
    assert view.assignment is not None
    saving, chosen = view.assignment.saving, chosen_interval(view, view.assignment)
    if chosen is None or not notable(saving.told_every_s, chosen.every_s):
        return view
    view = with_saving(view, replace(saving, told_every_s=chosen.every_s))
    return note(view, CADENCE_CHANGED, f"every {chosen.every_s:.0f} s: {chosen.why}")


def _closing(assignment: Assignment, act: Release | End) -> Assignment:
    trainer, failure = assignment.trainer, assignment.failure
    if isinstance(act, Release):
        if failure is None or failure.phase == HEALTH:
            failure = health_failure(act.why)
        return replace(
            assignment, closing=Chore.DOING, closing_as=act.then, closing_why=act.why, failure=failure
        )
    if act.code != 0 and failure is None:
        failure = failure_of(act.code, trainer.exit.tail if trainer.exit else "")
    return replace(
        assignment,
        closing=Chore.DOING,
        closing_as=AgentState.ENDED,
        closing_why=act.why,
        exit_code=act.code,
        failure=failure,
    )


def over(assignment: Assignment, state: AgentState, why: str, now_s: float) -> Assignment:
    """The assignment's last word; nothing of it is asked for any more."""
    saving = replace(assignment.saving, waiting=None, under_way=None, draft=None)
    return replace(assignment, over=state, over_why=why, over_s=now_s, permission=None, saving=saving)
