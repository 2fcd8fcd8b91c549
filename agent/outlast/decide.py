"""What the agent does next, and why: one function of its view. Pure.

Read it from top to bottom: what may never wait comes first. Each rule either decides or hands on to the
next; what needs time is done by another task, and the view says that it is under way (`Chore.DOING`).
"""

from __future__ import annotations

from outlast.acts import (
    Act,
    Begin,
    Claim,
    Commit,
    Decision,
    Exit,
    FinishOutputs,
    Kill,
    Over,
    PowerOff,
    Prepare,
    Prune,
    Recover,
    Release,
    Remember,
    Restore,
    Start,
    Upload,
)
from outlast.cadence import KILL_GRACE_S, PARTS_LIMIT_S, WAKE_GRACE_S
from outlast.follow import follow, try_join
from outlast.gang import unreachable_peers
from outlast.health import unhealthy
from outlast.leave import Leaving, drain, keep_saving, leaving
from outlast.protocol.messages import AgentState, Command, CommandKind
from outlast.protocol.values import replace
from outlast.stages import by_stage
from outlast.verdict import verdict
from outlast.view import AgentView, Assignment, Chore, Stage, lease_ends_s, off_after_s

AT_REST = (Stage.NONE, Stage.DEAD, Stage.SETTLING, Stage.SETTLED)  # no process of the trainer is left
EXIT_LEASE_LOST = 75  # EX_TEMPFAIL: start it again


def decide(view: AgentView) -> Decision:
    """The rules in the order of what may least wait."""
    assignment = view.assignment
    if view.now_s >= lease_ends_s(view) and view.now_s - view.woke_s >= WAKE_GRACE_S:
        return _lease_lost(view, assignment)
    if view.stray is not None and not view.recovering and view.now_s >= view.recover_retry_s:
        # A claim of an earlier life of this agent came through, and no trainer lives under that writer.
        return Decision((Recover(),), f"releasing {view.stray.writer}, a writer of an earlier life here")
    if assignment is None or assignment.over is not None:
        return _without_work(view, assignment)
    if assignment.fenced_why:
        return _superseded(assignment)
    if not assignment.claimed:
        return _before_claim(view, assignment)
    if assignment.follows:
        return follow(view, assignment)
    if assignment.closing is Chore.DOING:
        return Decision((), "telling the pointer how it ended")
    return _claimed(view, assignment)


def _lease_lost(view: AgentView, assignment: Assignment | None) -> Decision:
    """Nobody can know any more that this node lives, so another may be at work: stop, and stop costing."""
    why = f"neither the controller nor the bucket took a write for the whole lease of {view.lease_s:.0f} s"
    kill = _kill(assignment, why, 0.0) if assignment is not None else ()
    if view.alone:
        # The machine is a person's: only the process ends, once its trainer is dead.
        dead = assignment is None or assignment.trainer.stage in AT_REST
        return Decision((*kill, *((Exit(why, EXIT_LEASE_LOST),) if dead else ())), why)
    return Decision((*kill, *(() if view.powering_off else (PowerOff(why),))), why)


def _superseded(assignment: Assignment) -> Decision:
    """Another attempt owns the job: the trainer dies first, and nothing more is written for it."""
    why = assignment.fenced_why
    if assignment.trainer.stage in AT_REST:
        # An alarm (the pointer vanished) ends here too, but as a failure that a person must look at.
        return Decision((Over(AgentState.FAILED if assignment.failure else AgentState.FENCED, why),), why)
    return Decision(_kill(assignment, why, 0.0), why)


def _kill(assignment: Assignment, why: str, grace_s: float) -> tuple[Act, ...]:
    if assignment.trainer.stage in (Stage.STARTING, Stage.ALIVE):
        return (Kill(why, grace_s),)
    return ()


def _without_work(view: AgentView, over: Assignment | None) -> Decision:
    """No assignment, or the last one is over: take the next one, or wait for the end of the machine."""
    if view.notice is not None and view.notice.kind == "shutdown":
        return Decision((Exit("told to stop, and nothing is left to do"),), "stopping")
    if (next_one := _next_assignment(view)) is not None and not view.recovering:
        return Decision((Begin(next_one),), f"taking on generation {next_one.generation}")
    if over is None:
        return Decision((), "waiting for an assignment")
    limit_s = off_after_s(view.pace, over)
    if view.now_s - over.over_s >= limit_s and not view.powering_off and not view.alone:
        why = f"{over.over_why}; no new assignment for {limit_s:.0f} s"
        return Decision((PowerOff(why),), why)
    return Decision((), over.over_why)


def _next_assignment(view: AgentView) -> Command | None:
    """Only a higher generation: a repeated command must not bring an attempt back to life."""
    wanted = [
        command
        for command in view.commands
        if command.kind is CommandKind.ASSIGN
        and command.work is not None
        and command.generation > view.generation_max
    ]
    return max(wanted, key=lambda command: command.generation, default=None)


# Before the claim: nothing was promised yet, so giving up costs nothing.


def _before_claim(view: AgentView, assignment: Assignment) -> Decision:
    if assignment.claim is Chore.DOING and not assignment.follows:
        return Decision((), "claiming; whatever else is wanted, the outcome must be known first")
    if why := _unwanted(view, assignment):
        return Decision((Over(AgentState.ABANDONED, why),), why)
    if assignment.failure is not None:
        return Decision((Over(AgentState.FAILED, assignment.failure.message),), assignment.failure.message)
    if assignment.prepare is not Chore.DONE:
        if assignment.prepare is Chore.TODO and view.now_s >= assignment.prepare_retry_s:
            return Decision((Prepare(),), "preparing code and set-up")
        return Decision((), assignment.prepare_line or "preparing code and set-up")
    if assignment.remember is not Chore.DONE:
        # The writer is on this disk before anyone can see it in the pointer, so that a restarted agent
        # knows its own claim again.
        acts: tuple[Act, ...] = (Remember(),) if assignment.remember is Chore.TODO else ()
        return Decision(acts, "choosing a writer")
    return try_join(view, assignment) if assignment.follows else _try_claim(view, assignment)


def _unwanted(view: AgentView, assignment: Assignment) -> str:
    """Why this assignment is to be given up before its claim; "" while it is wanted."""
    told = assignment.abandon_why or assignment.drain_why or assignment.stop_why
    if told:
        return f"gave up before the claim: {told}"
    if (newer := _next_assignment(view)) is not None and newer.generation > assignment.generation:
        return f"gave up before the claim: assigned to generation {newer.generation}"
    if view.notice is not None and view.notice.kind == "shutdown":
        return "gave up before the claim: the agent is told to stop"
    return ""


def _try_claim(view: AgentView, assignment: Assignment) -> Decision:
    """Claim late, and only with the controller's word given in answer to the newest report."""
    if view.notice is not None and view.notice.leave:
        return Decision((), "not claiming: this node has a notice itself")
    if unknown := unreachable_peers(assignment):
        return Decision((), f"not claiming: the address of node {unknown} is not known yet")
    if view.now_s < assignment.claim_not_before_s:
        return Decision((), f"waiting to claim: {assignment.claim_why or 'not allowed yet'}")
    if assignment.permission is None:
        # `telling` sends a report now; its answer brings the permission, or does not.
        return Decision((), f"asking before the claim: {assignment.claim_why or 'ready to train'}")
    return Decision((Claim(assignment.permission),), "claiming")


# After the claim: this attempt owns the job, and must leave it in order.


def _claimed(view: AgentView, assignment: Assignment) -> Decision:
    reason = leaving(view, assignment)
    if assignment.trainer.stage is Stage.NONE:
        return _before_start(view, assignment, reason)
    return by_stage(
        assignment.trainer,
        _ship(view, assignment, reason),
        sweep_s=KILL_GRACE_S if reason is None else 1.0,
        alive=lambda: _while_it_trains(view, assignment, reason),
        settled=lambda: _finish(view, assignment, reason),
    )


def _while_it_trains(view: AgentView, assignment: Assignment, reason: Leaving | None) -> Decision:
    if reason is not None:
        return drain(view, assignment, reason)
    if why := unhealthy(assignment):
        return Decision((Kill(why, KILL_GRACE_S),), why)
    return keep_saving(view, assignment)


def _before_start(view: AgentView, assignment: Assignment, reason: Leaving | None) -> Decision:
    """Restore what the claim wrote, then start. Nothing was trained yet, so leaving is cheap."""
    if view.now_s < assignment.closing_retry_s:
        return Decision((), "the release could not be written; trying again")
    if reason is not None:
        return Decision((Release(reason.why),), f"releasing before the start: {reason.why}")
    if assignment.failure is not None:
        why = assignment.failure.message
        return Decision((Release(why, AgentState.FAILED),), f"releasing: {why}")
    if assignment.restore is Chore.DONE:
        return Decision((Start(),), "starting the trainer")
    if assignment.restore is Chore.TODO and view.now_s >= assignment.restore_retry_s:
        return Decision((Restore(),), "restoring")
    return Decision((), "restoring")


def _ship(view: AgentView, assignment: Assignment, reason: Leaving | None) -> tuple[Act, ...]:
    """Moves saves to the bucket, one at a time, beside whatever else happens; the trainer never waits."""
    saving = assignment.saving
    if view.now_s < saving.retry_s:
        return ()
    if saving.draft is not None:
        return () if saving.committing else (Commit(),)
    if saving.under_way is not None:
        return () if saving.uploading else (Upload(saving.under_way),)
    if saving.waiting is not None:
        return (Upload(saving.waiting),)
    if reason is not None or saving.committing:
        return ()  # never in the way of leaving
    return (Prune(),) if saving.prune is Chore.TODO or _wishes_due(view, assignment) else ()


def _wishes_due(view: AgentView, assignment: Assignment) -> bool:
    """Nobody should wait for the next save to have a checkpoint pinned, or held for a roll-back."""
    saving = assignment.saving
    idle = assignment.trainer.stage is Stage.ALIVE and saving.prune is Chore.DONE
    return idle and view.now_s >= saving.pruned_s + view.pace.wishes_every_s


def _finish(view: AgentView, assignment: Assignment, reason: Leaving | None) -> Decision:
    """The trainer is gone. Bring the rest to safety, then tell the pointer what it means."""
    if view.now_s < assignment.closing_retry_s:
        return Decision((), "the end could not be written into the pointer; trying again")
    out_of_time = reason is not None and reason.by_s is not None and view.now_s >= reason.by_s
    left_out = _never_whole(view, assignment)
    if not assignment.saving.idle and not out_of_time and not left_out:
        return Decision((), "bringing the last save to the bucket")
    end = verdict(assignment, reason)
    end = replace(end, why=f"{end.why}; {left_out}") if left_out else end
    if isinstance(end, Release) or end.code != 0:
        return Decision((end,), end.why)
    if assignment.outputs is not Chore.DONE:
        if out_of_time and reason is not None:
            # Success needs verified outputs; whoever comes next restores the end and delivers them.
            return Decision((Release(f"{reason.why}; the outputs were not all in the bucket"),), reason.why)
        acts: tuple[Act, ...] = (FinishOutputs(),) if assignment.outputs is Chore.TODO else ()
        return Decision(acts, "verifying the outputs in the bucket")
    return Decision((end,), end.why)


def _never_whole(view: AgentView, assignment: Assignment) -> str:
    """The last save of a gang that is not waited for any more, in words: nobody would ever end that wait, for
    the others wait for this node."""
    saving = assignment.saving
    if saving.missing_since_s is None or saving.tries > 0:  # none is missing, or nobody could look just now
        return ""
    if view.now_s - saving.missing_since_s < PARTS_LIMIT_S:
        return ""
    ranks = ", ".join(map(str, saving.missing))
    return f"its last save is left out, for the part of node {ranks} did not come"
