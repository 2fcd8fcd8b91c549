"""What the end of a trainer means: success, a failure, or only the end of this attempt. Pure."""

from __future__ import annotations

import re

from outlast.acts import End, Release
from outlast.cadence import SAVES_THAT_SHOW_GOING_ON
from outlast.health import ended_unhealthy, unhealthy
from outlast.leave import Leaving
from outlast.protocol.messages import AgentState, Failure
from outlast.view import Assignment

OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemoryError|cannot allocate memory|std::bad_alloc|\bMemoryError\b", re.IGNORECASE
)
NOT_A_NUMBER = re.compile(
    r"\bloss\b[^\n]{0,40}\b(nan|inf)\b|\bnan\b[^\n]{0,40}\bloss\b|nan or inf|non-?finite", re.IGNORECASE
)


def verdict(assignment: Assignment, reason: Leaving | None) -> Release | End:
    """Ended (the work is over, or failed by itself) or released (another attempt goes on)."""
    trainer = assignment.trainer
    code = trainer.exit.code if trainer.exit is not None else None
    if ended_unhealthy(assignment):
        return Release(trainer.killed_why, AgentState.FAILED)
    if code == 0 and reason is None and (why := unhealthy(assignment)):
        # What it calls its end is a state that nobody can use: that is no success.
        return Release(why, AgentState.FAILED)
    if code == 0 and trainer.progress.done:
        return End(0, "the trainer said that it was done")
    if reason is not None and (trainer.killed_why or code is None):
        return Release(reason.why)
    if code is None or trainer.killed_why:
        return Release(trainer.killed_why or "the trainer is gone")
    if left_on_request(assignment) and (code == 0 or reason is not None):
        # Hugging Face's just-in-time save ends with 0 too: the work is not over because it obeyed.
        why = reason.why if reason is not None else "the request was withdrawn too late"
        return Release(f"the trainer left with code {code} after it was asked to save ({why})")
    if code == 0:
        return End(0, "the trainer ended with 0, and nobody had asked it to leave")
    return End(code, failure_of(code, trainer.exit.tail if trainer.exit else "").message)


def left_on_request(assignment: Assignment) -> bool:
    """The trainer may have ended because we asked it for something."""
    progress, ask = assignment.trainer.progress, assignment.ask
    if progress.answer is not None and progress.answer.leaving:
        return True
    if ask is None:
        return False
    if ask.final and not ask.withdrawn:
        return True
    # A signal can't say "save and go on", and can't be taken back. Two saves later it has gone on.
    return ask.signalled and ask.saves_since < SAVES_THAT_SHOW_GOING_ON


def failure_of(code: int, tail: str) -> Failure:
    """Names what people know by name: memory that ran out, numbers that are none."""
    if OUT_OF_MEMORY.search(tail):
        what = "ran out of memory"
    elif NOT_A_NUMBER.search(tail):
        what = "met NaN or an infinite loss"
    elif code == 137:
        what = "was killed (SIGKILL): most often the machine ran out of memory"
    elif code > 128:
        what = f"was ended by signal {code - 128}"
    else:
        what = "failed"
    return Failure("trainer", f"the trainer {what}, code {code}", exit_code=code, tail=tail)
