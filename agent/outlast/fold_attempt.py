"""Takes news of the assignment into the view: preparation, claim, restore, trainer, end. Pure."""

from __future__ import annotations

from outlast.apply import over
from outlast.bucket.outcomes import Applied, Over, Stop, Wait
from outlast.cadence import CLAIM_EVERY_S, retry_in_s
from outlast.facts import (
    OUTPUTS_DONE,
    RESTORE_DONE,
    SETUP_DONE,
    TELL,
    TRAINER_EXITED,
    TRAINER_STARTED,
    TRAINER_STEPPED,
    note,
    with_assignment,
)
from outlast.fold_gang import joined, leader_seen
from outlast.fold_saving import SAVING_NEWS, fold_saving
from outlast.fold_storage import mended, pointer_said, troubled
from outlast.news import (
    ClaimAnswered,
    Closed,
    Joined,
    Killed,
    LeaderSeen,
    Looked,
    OutputsFinished,
    Prepared,
    PrepareMoved,
    Remembered,
    Restored,
    SaveAsked,
    Settled,
    Started,
    TrainerLooked,
    Trouble,
)
from outlast.node_ports import TrainerExit, TrainerProgress
from outlast.protocol.messages import AgentState, Failure
from outlast.protocol.values import replace
from outlast.view import AgentView, Assignment, Chore, Stage

REFUSALS_MAX = 6  # before the claim: a bucket that refuses (not: can't be reached) so often is a failure

OWN_NEWS = (
    Prepared, PrepareMoved, Remembered, ClaimAnswered, Joined, LeaderSeen, Restored, Started, TrainerLooked,
    SaveAsked, Killed, Settled, OutputsFinished, Closed, Looked,
)  # fmt: skip
ATTEMPT_NEWS = OWN_NEWS + SAVING_NEWS


def fold_attempt(view: AgentView, news: object) -> AgentView:
    """News of another generation, or of an assignment that is over, changes nothing."""
    assignment = view.assignment
    if assignment is None or assignment.over is not None:
        return view
    if getattr(news, "generation", None) != assignment.generation:
        return view
    folded = _folded(view, assignment, news)
    after = folded.assignment
    if after is not None and assignment.fenced_why and assignment.failure is None and after.failure:
        # Read together with the word that it is superseded, and after it: no failure of the job either.
        return with_assignment(folded, replace(after, failure=None))
    return folded


def _folded(view: AgentView, assignment: Assignment, news: object) -> AgentView:
    if isinstance(news, SAVING_NEWS):
        return fold_saving(view, assignment, news)
    if isinstance(news, PrepareMoved):
        return with_assignment(view, replace(assignment, prepare_line=news.line))
    if isinstance(news, (Prepared, Remembered)):
        return _prepared(view, assignment, news)
    if isinstance(news, Joined):
        return _joined(joined(view, assignment, news), news)
    if isinstance(news, LeaderSeen):
        return leader_seen(view, assignment, news)
    if isinstance(news, ClaimAnswered):
        return _claim_answered(view, assignment, news)
    if isinstance(news, Restored):
        return _restored(view, assignment, news)
    if isinstance(news, (Closed, Looked, OutputsFinished)):
        return _ending(view, assignment, news)
    return _trainer(view, assignment, news)


def _prepared(view: AgentView, assignment: Assignment, news: Prepared | Remembered) -> AgentView:
    if isinstance(news, Remembered):
        if news.outcome is not None:
            return with_assignment(view, replace(assignment, failure=news.outcome))
        return with_assignment(view, replace(assignment, writer=news.writer, remember=Chore.DONE))
    outcome = news.outcome
    if isinstance(outcome, Failure):
        return with_assignment(view, replace(assignment, failure=outcome))
    if isinstance(outcome, Trouble):
        tries = assignment.prepare_tries + 1
        again = replace(
            assignment,
            prepare=Chore.TODO,
            prepare_tries=tries,
            prepare_retry_s=view.now_s + retry_in_s(tries),
            failure=_refused("code", outcome, tries),
        )
        return troubled(with_assignment(view, again), outcome)
    view = with_assignment(view, replace(assignment, prepare=Chore.DONE))
    return note(view, SETUP_DONE, outcome)


def _joined(view: AgentView, news: Joined) -> AgentView:
    """A node that can't look holds up the whole gang, which waits for it: that is told."""
    assignment, outcome = view.assignment, news.outcome
    assert assignment is not None
    if not isinstance(outcome, Trouble):
        return mended(view)
    failure = _refused("storage", outcome, assignment.claim_tries)
    return troubled(with_assignment(view, replace(assignment, failure=failure)), outcome)


def _refused(phase: str, trouble: Trouble, tries: int) -> Failure | None:
    """A refusal that lasts is told: rights and names are for a person to mend. Unreachable is not refused."""
    return Failure(phase, trouble.why) if trouble.lasting and tries >= REFUSALS_MAX else None


def _claim_answered(view: AgentView, assignment: Assignment, news: ClaimAnswered) -> AgentView:
    outcome, tries = news.outcome, assignment.claim_tries + 1
    assignment = replace(assignment, claim_tries=tries)
    if isinstance(outcome, Applied):
        head = outcome.pointer.head
        saving = replace(assignment.saving, durable=head)
        claimed = replace(assignment, claim=Chore.DONE, pointer=outcome.pointer, claim_why="", saving=saving)
        return with_assignment(view, claimed)
    if isinstance(outcome, Wait):
        again = replace(
            assignment,
            claim=Chore.TODO,
            claim_why=outcome.why,
            claim_not_before_s=view.now_s + CLAIM_EVERY_S,
        )
        return with_assignment(view, again)
    if isinstance(outcome, Trouble):
        # It may have been applied. The pointer's task recognises its own write at the next try.
        again = replace(
            assignment,
            claim=Chore.TODO,
            claim_why=outcome.why,
            claim_not_before_s=view.now_s + retry_in_s(tries),
            failure=_refused("storage", outcome, tries),
        )
        return troubled(with_assignment(view, again), outcome)
    if isinstance(outcome, Stop):
        failed = replace(assignment, claim=Chore.TODO, failure=Failure("claim", outcome.why, fatal=True))
        return note(with_assignment(view, failed), TELL, outcome.why)
    state = AgentState.RELEASED if isinstance(outcome, Over) else AgentState.FENCED
    return with_assignment(view, over(assignment, state, outcome.why, view.now_s))


def _restored(view: AgentView, assignment: Assignment, news: Restored) -> AgentView:
    outcome = news.outcome
    if isinstance(outcome, Failure):
        return with_assignment(view, replace(assignment, failure=outcome))
    if isinstance(outcome, Trouble):
        tries = assignment.restore_tries + 1
        again = replace(
            assignment,
            restore=Chore.TODO,
            restore_tries=tries,
            restore_retry_s=view.now_s + retry_in_s(tries),
        )
        return troubled(with_assignment(view, again), outcome)
    saving = replace(assignment.saving, base=outcome.ref, durable=outcome.ref or assignment.saving.durable)
    view = with_assignment(view, replace(assignment, restore=Chore.DONE, resume=outcome, saving=saving))
    if outcome.ref is None:
        return note(view, RESTORE_DONE, "nothing to restore: the job starts from the beginning")
    return note(view, RESTORE_DONE, f"{outcome.ref.name} is here and verified", step=str(outcome.ref.step))


# The trainer


def _trainer(view: AgentView, assignment: Assignment, news: object) -> AgentView:
    trainer = assignment.trainer
    if isinstance(news, Started):
        if news.outcome is not None:
            trainer = replace(trainer, stage=Stage.NONE)
            return with_assignment(view, replace(assignment, trainer=trainer, failure=news.outcome))
        trainer = replace(trainer, stage=Stage.ALIVE, started_s=view.now_s)
        saving = replace(assignment.saving, pruned_s=view.now_s)
        view = with_assignment(view, replace(assignment, trainer=trainer, saving=saving))
        step = assignment.resume.step
        return note(view, TRAINER_STARTED, "from the beginning" if step is None else f"from step {step}")
    if isinstance(news, SaveAsked) and assignment.ask is not None:
        ask = replace(assignment.ask, signalled=news.signalled)
        return with_assignment(view, replace(assignment, ask=ask))
    if isinstance(news, Settled):
        return with_assignment(view, replace(assignment, trainer=replace(trainer, stage=Stage.SETTLED)))
    if isinstance(news, TrainerLooked) and trainer.stage is Stage.ALIVE:
        return _looked(view, assignment, news.exit, news.progress)
    if isinstance(news, Killed) and trainer.stage is Stage.ENDING:
        view = _looked(view, assignment, news.exit, news.progress)
        assert view.assignment is not None
        dead = replace(view.assignment.trainer, stage=Stage.DEAD)
        return with_assignment(view, replace(view.assignment, trainer=dead))
    return view


def _looked(
    view: AgentView, assignment: Assignment, exit_: TrainerExit | None, progress: TrainerProgress
) -> AgentView:
    old = assignment.trainer
    start = assignment.resume.step
    stepped = progress.step is not None and (start is None or progress.step > start)
    moved = progress.step is not None and progress.step != old.progress.step
    trainer = replace(
        old,
        exit=old.exit or exit_,
        progress=progress,
        stepped=old.stepped or stepped,
        step_s=view.now_s if moved else old.step_s,
    )
    view = with_assignment(view, replace(assignment, trainer=trainer))
    if trainer.stepped and not old.stepped:
        view = note(view, TRAINER_STEPPED, f"step {progress.step} is finished", step=str(progress.step))
    if trainer.exit is not None and old.exit is None:
        code = trainer.exit.code
        how = f"ended by us: {old.killed_why}" if old.killed_why else "ended by itself"
        view = note(view, TRAINER_EXITED, f"code {code}; {how}", code=str(code))
    return view


# The end


def _ending(view: AgentView, assignment: Assignment, news: Closed | Looked | OutputsFinished) -> AgentView:
    if isinstance(news, OutputsFinished):
        if isinstance(news.outcome, Trouble):
            again = with_assignment(view, replace(assignment, outputs=Chore.DOING))
            return troubled(again, news.outcome)
        view = with_assignment(view, replace(assignment, outputs=Chore.DONE))
        return note(view, OUTPUTS_DONE, news.outcome)
    if isinstance(news, Looked) and not assignment.claimed:
        return view
    return pointer_said(view, assignment, news.outcome, closing=isinstance(news, Closed))
