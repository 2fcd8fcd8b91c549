"""What a node of a gang does that is not the first: it follows who claims, saves and leaves for all. Pure.

It restores what the first node restored, trains beside it, and brings its part of each checkpoint that the
first node is bringing to the bucket. Its trainer lives as long as the first node's role does: a final save
needs all of them, and who ends one earlier breaks it. It writes neither the pointer nor a manifest.
"""

from __future__ import annotations

from outlast.acts import Act, Decision, Join, Kill, LeaveOut, Over, Restore, Start, Upload
from outlast.cadence import COMMIT_S, KILL_GRACE_S
from outlast.health import ended_unhealthy, unhealthy
from outlast.leave import Leaving, leaving
from outlast.protocol.messages import AgentState
from outlast.save.types import StableCopy
from outlast.stages import by_stage
from outlast.verdict import failure_of
from outlast.view import AgentView, Assignment, Chore, Saving, Stage


def try_join(view: AgentView, assignment: Assignment) -> Decision:
    """The bucket tells when the first node has claimed, whether there is a controller or not."""
    if assignment.claim is Chore.DOING:
        return Decision((), "looking for the claim of the first node")
    if view.notice is not None and view.notice.leave:
        return Decision((), "not joining: this node has a notice itself")
    why = f"ready; {assignment.claim_why or 'the first node has not claimed yet'}"
    if view.now_s < assignment.claim_not_before_s:
        return Decision((), why)
    return Decision((Join(),), why)


def follow(view: AgentView, assignment: Assignment) -> Decision:
    """After the first node has claimed."""
    reason = leaving(view, assignment)
    if assignment.trainer.stage is Stage.NONE:
        return _before_start(view, assignment, reason)
    return by_stage(
        assignment.trainer,
        _ship(view, assignment),
        sweep_s=1.0,
        alive=lambda: _while_it_trains(view, assignment, reason),
        settled=lambda: _finish(view, assignment, reason),
    )


def _before_start(view: AgentView, assignment: Assignment, reason: Leaving | None) -> Decision:
    if assignment.leader_over is not None:
        return _left(assignment, assignment.leader_over, assignment.leader_why)
    if reason is not None:
        return _left(assignment, AgentState.RELEASED, reason.why)
    if assignment.failure is not None:
        return _left(assignment, AgentState.FAILED, assignment.failure.message)
    if assignment.restore is Chore.DONE:
        return Decision((Start(),), "starting the trainer")
    if assignment.restore is Chore.TODO and view.now_s >= assignment.restore_retry_s:
        return Decision((Restore(),), "restoring what the first node restored")
    return Decision((), "restoring what the first node restored")


def _while_it_trains(view: AgentView, assignment: Assignment, reason: Leaving | None) -> Decision:
    if why := _why_now(view, assignment, reason):
        return Decision((Kill(why, 0.0 if assignment.leader_over is None else KILL_GRACE_S),), why)
    return Decision((), _doing(assignment, reason))


def _doing(assignment: Assignment, reason: Leaving | None) -> str:
    if reason is not None:
        return f"the first node saves and leaves, then this one does: {reason.why}"
    return f"training as node {assignment.rank} of {assignment.world_size}"


def _why_now(view: AgentView, assignment: Assignment, reason: Leaving | None) -> str:
    """Why the trainer must end now; "" while the first node leads."""
    if assignment.leader_over is not None:
        return f"the first node has left: {assignment.leader_why}"
    if reason is None:
        return unhealthy(assignment)
    if not reason.save:
        return reason.why
    if reason.by_s is not None and view.now_s >= reason.by_s - COMMIT_S:
        return f"{reason.why}; no time is left"
    return ""


def _ship(view: AgentView, assignment: Assignment) -> tuple[Act, ...]:
    """The part of what the first node uploads: two nodes that chose for themselves might never meet."""
    saving, wanted = assignment.saving, assignment.leader_step
    if not assignment.parts or assignment.leader_over is not None or view.now_s < saving.retry_s:
        return ()
    if saving.under_way is not None:
        again = Upload(saving.under_way, _left_out(saving.under_way, wanted))
        return () if saving.uploading else (again,)
    if saving.uploading or wanted is None:
        return ()
    if saving.waiting is None or saving.waiting.step < wanted:
        return (LeaveOut(wanted),) if _never_has(saving, wanted) else ()
    if wanted == saving.parted_step and saving.waiting.step > wanted:
        return ()  # (one of the same step has more files than what was brought)
    return (Upload(saving.waiting, _left_out(saving.waiting, wanted)),)


def _never_has(saving: Saving, wanted: int) -> bool:
    """The save that it means is not only not found here yet: it was, and the health gate refused it."""
    refused = saving.refused_step is not None and saving.refused_step >= wanted
    return refused and wanted != saving.parted_step


def _left_out(copy: StableCopy, wanted: int | None) -> int | None:
    """The step that the first node waits for, if this node no longer has it: it is told, at each try."""
    return wanted if wanted is not None and copy.step > wanted else None


def _finish(view: AgentView, assignment: Assignment, reason: Leaving | None) -> Decision:
    """The trainer is gone: what the first node still needs is brought to the bucket."""
    trainer = assignment.trainer
    if assignment.leader_over is not None:
        return _left(assignment, assignment.leader_over, assignment.leader_why)
    if ended_unhealthy(assignment):
        return _left(assignment, AgentState.FAILED, trainer.killed_why)
    code = trainer.exit.code if trainer.exit is not None else 1
    if code != 0 and not trainer.killed_why and reason is None:
        return _left(assignment, AgentState.FAILED, failure_of(code, _tail(assignment)).message)
    out_of_time = reason is not None and reason.by_s is not None and view.now_s >= reason.by_s
    if reason is not None and (out_of_time or not reason.save):
        return _left(assignment, AgentState.RELEASED, reason.why)
    if code == 0 or _owes(assignment, assignment.saving):
        return Decision((), "the trainer has ended; waiting for the first node")
    return _left(assignment, AgentState.RELEASED, trainer.killed_why or "the trainer is gone")


def _owes(assignment: Assignment, saving: Saving) -> bool:
    return assignment.parts > 0 and not saving.idle


def _tail(assignment: Assignment) -> str:
    return assignment.trainer.exit.tail if assignment.trainer.exit is not None else ""


def _left(assignment: Assignment, state: AgentState, why: str) -> Decision:
    """Its role is over, without a word in the pointer."""
    end = AgentState.RELEASED if state not in (AgentState.ENDED, AgentState.FAILED) else state
    if assignment.failure is not None:
        end = AgentState.FAILED
    elif end is AgentState.FAILED and assignment.leader_over is not None:
        end = AgentState.RELEASED  # that failure is the first node's to tell
    return Decision((Over(end, why),), why)
