"""Takes news of saves and of the bucket into the view: found, uploaded, committed, pruned. Pure."""

from __future__ import annotations

from outlast.bucket.outcomes import Applied, Mine, Rebase
from outlast.cadence import PARTS_EVERY_S, PARTS_TOLD_AFTER_S
from outlast.facts import (
    SAVE_DISCARDED,
    SAVE_FOUND,
    SAVE_QUARANTINED,
    SAVE_SKIPPED,
    TELL,
    note,
    with_assignment,
    with_saving,
)
from outlast.fold_storage import later, mended, pointer_said, troubled
from outlast.news import (
    Committed,
    Incomplete,
    PartLeftOut,
    Pruned,
    SaveFound,
    SaveQuarantined,
    SaveUnusable,
    Trouble,
    Uploaded,
    UploadMoved,
)
from outlast.protocol.values import replace
from outlast.save.types import Draft, StableCopy
from outlast.view import AgentView, Ask, Assignment, Chore, Saving

SAVING_NEWS = (
    SaveFound, SaveQuarantined, SaveUnusable, UploadMoved, Uploaded, PartLeftOut, Committed, Pruned,
)  # fmt: skip

CLOCK_SLACK_S = 0.1  # file times are as coarse as the kernel's tick

SavingNews = (
    SaveFound | SaveQuarantined | SaveUnusable | UploadMoved | Uploaded | PartLeftOut | Committed | Pruned
)


def fold_saving(view: AgentView, assignment: Assignment, news: SavingNews) -> AgentView:
    if isinstance(news, SaveFound):
        return _found(view, assignment, news)
    if isinstance(news, SaveQuarantined):
        return _quarantined(view, assignment, news)
    if isinstance(news, SaveUnusable):
        return note(view, SAVE_DISCARDED, news.why)
    if isinstance(news, UploadMoved):
        return with_saving(view, replace(assignment.saving, uploaded_bytes=news.done_bytes))
    if isinstance(news, Uploaded):
        return _uploaded(view, assignment, news)
    if isinstance(news, PartLeftOut):
        return _left_out(view, assignment, news)
    if isinstance(news, Committed):
        return _committed(view, assignment, news)
    return _pruned(view, assignment, news)


def _found(view: AgentView, assignment: Assignment, news: SaveFound) -> AgentView:
    """Every complete save goes to the bucket, unless a newer one replaced it while it waited."""
    saving, copy = assignment.saving, news.copy
    ask, save_s = _answered(view, assignment, news.age_s)
    no_part = _no_part(assignment, copy)
    replaced = None if no_part else saving.waiting
    saving = replace(
        saving,
        waiting=saving.waiting if no_part else copy,
        found_step=copy.step,
        found_s=view.now_s,
        state_bytes=copy.bytes,
        disk_free=news.disk_free,
        refused=0,
        refused_why="",
        save_s=save_s,
        skipped=saving.skipped + (1 if replaced is not None or no_part else 0),
    )
    first = assignment.saving.found_step is None
    view = with_assignment(view, replace(assignment, saving=saving, ask=ask))
    view = note(
        view, SAVE_FOUND, f"step {copy.step} ({copy.kind}, {copy.confidence.value})", step=str(copy.step)
    )
    if replaced is not None:
        why = f"step {replaced.step}: step {copy.step} was complete before its upload began"
        view = note(view, SAVE_SKIPPED, f"{why}; {_advice(saving)}", step=str(replaced.step))
    if no_part:
        kind = TELL if first and not copy.numbered else SAVE_SKIPPED
        view = note(view, kind, f"step {copy.step}: {no_part}", step=str(copy.step))
    return view


def _quarantined(view: AgentView, assignment: Assignment, news: SaveQuarantined) -> AgentView:
    """It answers a request as any save does: a trainer with a lost state would be waited for in vain."""
    ask, save_s = _answered(view, assignment, news.age_s)
    saving = replace(
        assignment.saving,
        refused=assignment.saving.refused + 1,
        refused_why=news.why,
        refused_step=news.step,
        found_s=view.now_s,
        save_s=save_s,
    )
    view = with_assignment(view, replace(assignment, saving=saving, ask=ask))
    return note(view, SAVE_QUARANTINED, news.why, step=str(news.step))


def _answered(view: AgentView, assignment: Assignment, age_s: float) -> tuple[Ask | None, float | None]:
    """The newest request with this save counted, and how long a save takes, as far as it tells."""
    ask, save_s = assignment.ask, assignment.saving.save_s
    if ask is None or not _answers(view, assignment, ask, age_s):
        return ask, save_s
    if ask.saves_since == 0:
        save_s = view.now_s - ask.at_s
    return replace(ask, saves_since=ask.saves_since + 1), save_s


def _no_part(assignment: Assignment, copy: StableCopy) -> str:
    """Why a save can't be a part of a gang's checkpoint; "" if it may.

    The nodes know by the step alone which of their saves belong together: two saves of one step, or steps
    that each node counts for itself, would bring parts of different saves into one checkpoint.
    """
    if not assignment.parts:
        return ""
    if not copy.numbered:
        return "not used: its name has no step (as in step_120), so nobody knows which parts belong together"
    if copy.grown:
        return ""  # whatever of it lies in the bucket is of the same save
    saving = assignment.saving
    known = {one.step for one in (saving.waiting, saving.under_way) if one is not None}
    if saving.durable is not None and saving.durable_s is not None:
        known.add(saving.durable.step)
    if copy.step in known or copy.step in (saving.parted_step, saving.found_step):
        return "it was saved before; in a gang the first save of a step counts"
    return ""


def _advice(saving: Saving) -> str:
    """What would let every save reach the bucket."""
    takes = "" if saving.upload_s is None else f" (an upload takes about {saving.upload_s:.0f} s)"
    return f"save less often{takes}, or less: of a frozen base only the adapter"


def _answers(view: AgentView, assignment: Assignment, ask: Ask, age_s: float) -> bool:
    """A save that was begun before it was asked for is one of the trainer's own rhythm, however late it was
    found. (Who reads the request says itself which save is the answer.)"""
    begun_s = view.now_s - age_s
    return assignment.trainer.progress.polls or begun_s >= ask.at_s - CLOCK_SLACK_S


def _uploaded(view: AgentView, assignment: Assignment, news: Uploaded) -> AgentView:
    saving = replace(assignment.saving, uploading=False)
    if isinstance(news.outcome, Draft) and assignment.follows:
        step = news.outcome.step
        done = replace(saving, under_way=None, parted_step=step, tries=0)
        return _proven(with_saving(view, done), saving)
    if isinstance(news.outcome, Trouble):
        return troubled(later(view, assignment), news.outcome)
    if news.outcome is None:
        # The copy itself turned out bad; the trainer's next save takes its place.
        view = with_saving(view, replace(saving, under_way=None))
        return note(view, SAVE_DISCARDED, news.why)
    # With failed tries in it, it measures the bucket's absence, and a notice would find no time for a save.
    upload_s = view.now_s - saving.upload_since_s if saving.tries == 0 else saving.upload_s
    done = replace(saving, draft=news.outcome, upload_s=upload_s, tries=0)
    return _proven(with_saving(view, done), saving)


def _proven(view: AgentView, saving: Saving) -> AgentView:
    """An upload that was under way when another task met the trouble says nothing about what came after."""
    before = saving.trouble_since_s is not None and saving.upload_since_s < saving.trouble_since_s
    return view if before and saving.tries == 0 else mended(view)


def _left_out(view: AgentView, assignment: Assignment, news: PartLeftOut) -> AgentView:
    if news.outcome is not None:
        return troubled(later(view, assignment), news.outcome)
    done = replace(assignment.saving, uploading=False, parted_step=news.step, tries=0)
    why = f"step {news.step}: this node has no part of it, and says so"
    return note(mended(with_saving(view, done)), SAVE_SKIPPED, why, step=str(news.step))


def _committed(view: AgentView, assignment: Assignment, news: Committed) -> AgentView:
    saving, outcome = replace(assignment.saving, committing=False), news.outcome
    if isinstance(outcome, Trouble):
        return troubled(later(view, assignment), outcome)
    if isinstance(outcome, Incomplete):
        return _incomplete(view, saving, outcome)
    saving = replace(saving, missing=(), missing_since_s=None, missing_told=False)
    if isinstance(outcome, Rebase):
        # The head moved since the upload began: what to name again is decided anew.
        return with_saving(view, replace(saving, draft=None))
    if isinstance(outcome, Applied):
        done = replace(
            saving,
            draft=None,
            under_way=None,
            durable=outcome.pointer.head,
            durable_s=view.now_s,
            base=outcome.pointer.head,
            tries=0,
            prune=Chore.TODO,
        )
        return mended(with_saving(view, done))
    if isinstance(outcome, Mine):
        return later(view, assignment)
    view = with_saving(view, saving)
    assert view.assignment is not None
    return pointer_said(view, view.assignment, outcome)


def _incomplete(view: AgentView, saving: Saving, outcome: Incomplete) -> AgentView:
    """A checkpoint of a gang is committed whole or not at all: it waits for the parts, or makes way."""
    copy = saving.under_way
    step = copy.step if copy is not None else 0
    if outcome.skipped:
        ranks = ", ".join(map(str, outcome.skipped))
        given_up = replace(
            saving, under_way=None, draft=None, missing=(), missing_since_s=None, missing_told=False
        )
        why = f"step {step}: node {ranks} has no part of it: a newer save took its place, or it was refused"
        return note(mended(with_saving(view, given_up)), SAVE_SKIPPED, why, step=str(step))
    since_s = saving.missing_since_s if saving.missing_since_s is not None else view.now_s
    missing_s = view.now_s - since_s
    waits = replace(
        saving,
        missing=outcome.missing,
        missing_since_s=since_s,
        missing_told=missing_s >= PARTS_TOLD_AFTER_S,
        tries=0,
        retry_s=view.now_s + PARTS_EVERY_S,
    )
    view = mended(with_saving(view, waits))
    if saving.missing_told or not waits.missing_told:
        return view
    ranks = ", ".join(map(str, outcome.missing))
    why = f"step {step} is not committed: the part of node {ranks} has been missing for {missing_s:.0f} s"
    return note(view, TELL, f"{why} (where the first node alone saves, set `checkpoint.parts: first-node`)")


def _pruned(view: AgentView, assignment: Assignment, news: Pruned) -> AgentView:
    view = with_saving(view, replace(assignment.saving, prune=Chore.DONE))
    if isinstance(news.outcome, Trouble):
        # The next commit prunes again: nothing is lost but a little space.
        return troubled(view, news.outcome)
    assert view.assignment is not None
    view = pointer_said(view, view.assignment, news.outcome)
    # What a look for wishes found broken is mended by one that works, and not only by the next save.
    return mended(view) if isinstance(news.outcome, (Applied, Mine)) else view
