"""How the agent uses the time before it has to leave, and when it asks for saves otherwise. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from outlast.acts import AskSave, Decision, Kill, Leave, Stay
from outlast.cadence import COMMIT_S, FINAL_GRACE_S, KILL_GRACE_S, SAVES_THAT_SHOW_GOING_ON
from outlast.next_save import next_save_s
from outlast.protocol.messages import CommandKind
from outlast.protocol.objects import ORDERED
from outlast.view import AgentView, Assignment, Plan


@dataclass(frozen=True)
class Leaving:
    """Why this node has to leave the attempt, until when, and whether a last save is wanted."""

    why: str
    by_s: float | None
    save: bool = True


def leaving(view: AgentView, assignment: Assignment) -> Leaving | None:
    """The strictest reason there is. What the controller told stays told; a notice can be withdrawn."""
    if assignment.stop_why:
        by_s = view.now_s if assignment.stop_by_s is None else assignment.stop_by_s
        return Leaving(f"{ORDERED} stop: {assignment.stop_why}", by_s, save=False)
    reasons: list[Leaving] = []
    if assignment.drain_why:
        reasons.append(Leaving(f"{ORDERED} drain: {assignment.drain_why}", assignment.drain_by_s))
    if assignment.abandon_why:
        # The claim was in flight when the order came: it was applied, so now it has to be drained.
        reasons.append(Leaving(f"{ORDERED} give up: {assignment.abandon_why}", assignment.drain_by_s))
    if view.notice is not None and view.notice.leave:
        reasons.append(Leaving(f"notice: {view.notice.kind}", view.notice.leave_by_s))
    if not reasons:
        return None
    return min(reasons, key=lambda r: float("inf") if r.by_s is None else r.by_s)


def keep_saving(view: AgentView, assignment: Assignment) -> Decision:
    """Training goes on. Ask for a save when it is due, or when a person or a recommendation wants one."""
    if assignment.plan is not None:
        return Decision((Stay(),), "the notice was withdrawn before the release: training goes on")
    due_s, due_why = next_save_s(view, assignment)
    if due_s is not None and view.now_s >= due_s:
        return Decision((AskSave(False, due_why),), "training")
    for why in _wanted_saves(view, assignment):
        if assignment.ask is None or assignment.ask.why != why:
            return Decision((AskSave(False, why),), "training")
    return Decision((), "training")


def _wanted_saves(view: AgentView, assignment: Assignment) -> list[str]:
    wanted = [
        f"asked for: {command.why}"
        for command in view.commands
        if command.kind is CommandKind.SAVE and command.generation == assignment.generation
    ]
    if view.notice is not None and view.notice.kind == "rebalance":
        wanted.append("the cloud recommends to move")  # advice: be safe soon, but do not leave
    return wanted


def choose(view: AgentView, assignment: Assignment, reason: Leaving) -> Leave:
    """A new final save loses nothing, if it fits; else the upload under way is the best there is."""
    saving = assignment.saving
    if not reason.save:
        return Leave(Plan.NOTHING, "no new save is wanted")
    if reason.by_s is None:
        return Leave(Plan.SAVE, "a final save; there is no limit")
    left_s = reason.by_s - view.now_s
    if saving.save_s is None or saving.upload_s is None:
        # Nothing was measured yet. Trying costs nothing: an upload under way goes on beside it.
        return Leave(Plan.SAVE, f"a final save; {left_s:.0f} s are left, and how long it takes is unknown")
    queue_s = 0.0
    if saving.under_way is not None:
        queue_s = max(0.0, saving.upload_s - (view.now_s - saving.upload_since_s)) + COMMIT_S
    need_s = max(saving.save_s, queue_s) + saving.upload_s + COMMIT_S
    if need_s <= left_s:
        return Leave(Plan.SAVE, f"a final save takes about {need_s:.0f} s of the {left_s:.0f} s left")
    if saving.idle:
        return Leave(
            Plan.SAVE, f"a final save may need {need_s:.0f} s of {left_s:.0f} s, but nothing else is left"
        )
    return Leave(
        Plan.FINISH, f"a final save needs {need_s:.0f} s of {left_s:.0f} s: finishing the upload under way"
    )


def drain(view: AgentView, assignment: Assignment, reason: Leaving) -> Decision:
    """The trainer still runs and has to be brought to an end, in order, before `by_s`."""
    if assignment.plan is None:
        leave = choose(view, assignment, reason)
        if leave.plan is not Plan.SAVE:
            return Decision((leave,), leave.why)
        limit_s = None if reason.by_s is None else max(0.0, reason.by_s - view.now_s)
        return Decision((leave, AskSave(True, reason.why, limit_s)), leave.why)
    if assignment.plan is Plan.SAVE:
        return _await_final(view, assignment, reason)
    if assignment.plan is Plan.FINISH and not assignment.saving.idle and not _past(view, reason.by_s):
        # The trainer may as well go on: a step costs nothing while the upload takes its time.
        return Decision((), assignment.plan_why)
    return Decision((Kill(reason.why, 0.0 if _past(view, reason.by_s) else KILL_GRACE_S),), reason.why)


def _await_final(view: AgentView, assignment: Assignment, reason: Leaving) -> Decision:
    """The trainer is stopped only after its final save, or at the last moment. How long the last upload
    took is no reason to give up earlier: this one may be faster, and what waits is lost otherwise."""
    if _past(view, None if reason.by_s is None else reason.by_s - COMMIT_S):
        return Decision(
            (Kill(f"{reason.why}; no time is left for a save", 0.0),), "out of time for a final save"
        )
    if not _final_is_here(assignment):
        return Decision((), f"waiting for the final save: {reason.why}")
    if assignment.parts and not assignment.saving.idle:
        # The others' trainers end with this one, and what one of them is still writing with them.
        return Decision((), "the final save is on the disk; the parts of the other nodes are on their way")
    settling = view.now_s < assignment.saving.found_s + FINAL_GRACE_S and not _went_on(assignment)
    if settling or _leaves_by_itself(assignment):
        return Decision((), "the final save is on the disk; the trainer may leave by itself")
    return Decision(
        (Kill(f"{reason.why}; its final save is on the disk", KILL_GRACE_S),), "ending the trainer"
    )


def _final_is_here(assignment: Assignment) -> bool:
    """A complete save answers the request. Who reads the control file names its step; else the first one."""
    ask, progress = assignment.ask, assignment.trainer.progress
    if ask is None or ask.saves_since == 0:
        return False
    if not progress.polls:
        return True
    answer = progress.answer
    if answer is None:
        return False
    seen = [assignment.saving.found_step, assignment.saving.refused_step]
    return answer.step is None or any(step is not None and step >= answer.step for step in seen)


def _leaves_by_itself(assignment: Assignment) -> bool:
    answer = assignment.trainer.progress.answer
    return answer is not None and answer.leaving


def _went_on(assignment: Assignment) -> bool:
    """It saved again after the final save: who saves that often would never be found to have settled."""
    ask, progress, found_step = assignment.ask, assignment.trainer.progress, assignment.saving.found_step
    if not progress.polls:
        return ask is not None and ask.saves_since >= SAVES_THAT_SHOW_GOING_ON
    final = None if progress.answer is None else progress.answer.step
    return final is not None and found_step is not None and found_step > final


def _past(view: AgentView, moment_s: float | None) -> bool:
    return moment_s is not None and view.now_s >= moment_s
