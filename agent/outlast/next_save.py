"""When the trainer is asked for its next save: the interval that holds now, and when it is over. Pure."""

from __future__ import annotations

from outlast.cadence import save_due_s
from outlast.interval import Interval, Measured, choose
from outlast.view import NEVER_S, AgentView, Assignment


def chosen_interval(view: AgentView, assignment: Assignment) -> Interval | None:
    """Under `every: auto`: what the agent has chosen; None when people, or the trainer, did."""
    if not assignment.work.checkpoint.auto:
        return None
    told_s, saving = assignment.trainer.progress.stall_s, assignment.saving
    stall_s = saving.save_s if told_s is None else told_s
    age_s = view.now_s - view.born_s
    return choose(Measured(stall_s, saving.upload_s, age_s, assignment.market, told=told_s is not None))


def next_save_s(view: AgentView, assignment: Assignment) -> tuple[float | None, str]:
    """When to ask for the next save, and why then; None: the trainer keeps its own rhythm."""
    chosen = chosen_interval(view, assignment)
    every_s = assignment.work.checkpoint.every_s if chosen is None else chosen.every_s
    asked_s = assignment.ask.at_s if assignment.ask is not None else NEVER_S
    due_s = save_due_s(every_s, assignment.trainer.started_s, assignment.saving.found_s, asked_s)
    why = "the interval is over"
    return due_s, why if chosen is None else f"{why}: {chosen.every_s:.0f} s, for {chosen.why}"
