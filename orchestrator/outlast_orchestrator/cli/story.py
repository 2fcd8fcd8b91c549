"""Tells from its events why a job is where it is: causes in order, repetitions folded. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from outlast_orchestrator.cli.words import age, ago, one_line

STORY_S = 15 * 60.0
LINES_MAX = 40
LINES_MIN = 5  # an old story is better than none

# Routine: counted, not told one by one.
ROUTINE = {
    "save.found": "saves found",
    "upload.started": "uploads begun",
    "checkpoint.committed": "checkpoints committed",
    "checkpoint.pruned": "old checkpoints pruned",
    "save.skipped": "saves skipped for a newer one",
    "save.discarded": "saves moved aside or not used",
}

Event = Mapping[str, Any]


def why_lines(status: Mapping[str, Any], events: Sequence[Event]) -> list[str]:
    """The state and its reason, then what led there, oldest first, then what comes next."""
    reason = one_line(status["why"]) or "no reason given"
    head = f"{status['name']} is {status['state']} for {age(status['age_s'])}: {reason}"
    return [head, *story(events), *_next(status)]


def story(events: Sequence[Event]) -> list[str]:
    recent = [e for e in events if e["age_s"] <= STORY_S]
    chosen = recent if len(recent) >= LINES_MIN else list(events[-LINES_MIN:])
    lines: list[str] = []
    routine: list[Event] = []
    for event in chosen:
        if event["kind"] in ROUTINE:
            routine.append(event)
            continue
        lines += _fold(routine)
        routine = []
        lines.append(line(event))
    lines += _fold(routine)
    left_out = len(lines) - LINES_MAX
    return lines if left_out <= 0 else [f"  … {left_out} earlier lines: `outlast events`", *lines[left_out:]]


def line(event: Event) -> str:
    where = f" [attempt {event['attempt']}]" if event.get("attempt") is not None else ""
    return f"  {ago(event['age_s']):>16}  {event['kind']}{where}: {one_line(event['why'])}"


def _fold(routine: Sequence[Event]) -> list[str]:
    if not routine:
        return []
    if len(routine) == 1:
        return [line(routine[0])]
    counts: dict[str, int] = {}
    for event in routine:
        counts[event["kind"]] = counts.get(event["kind"], 0) + 1
    told = ", ".join(f"{count} {ROUTINE[kind]}" for kind, count in counts.items())
    return [f"  {ago(routine[-1]['age_s']):>16}  {told}; the last: {one_line(routine[-1]['why'])}"]


def _next(status: Mapping[str, Any]) -> list[str]:
    name, state = status["name"], status["state"]
    if state == "FAILED":
        saved = status.get("durable") is not None
        where = "from its last checkpoint" if saved else "from the beginning, for it has saved nothing"
        told = f"It can be continued {where}: `outlast resume {name}`"
        return [f"What it printed: `outlast logs {name}`", told]
    if state == "PAUSED":
        return [f"It waits for you: `outlast resume {name}`"]
    if status["over"] or status.get("next_wake_s") is None:
        return []
    return [f"The controller looks at it again in {age(status['next_wake_s'])} at the latest."]
