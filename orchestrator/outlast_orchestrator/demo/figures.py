"""Computes the demo's figures from the event log, the trainer's own track, and what was really done. Pure.

*Steps lost* = last step finished before the end of an attempt − step that the next one resumed from.
A *relaunch without cause* = an attempt whose predecessor's machine was not taken by the market.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from outlast_orchestrator.demo.watch import Line

Events = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Attempt:
    """One claimed attempt, by the event log and by its trainer's own words."""

    generation: int
    launch: str
    machine: str
    start_step: int
    last_step: int
    first_at: float | None  # first and last step that its trainer finished
    last_at: float | None
    taken: str  # "noticed", "unnoticed" or "" by what the market really did


@dataclass(frozen=True)
class Spell:
    """A time in which something was away; wall clock."""

    what: str
    begun_at: float
    ended_at: float


@dataclass(frozen=True)
class Recovery:
    """From the end of useful work to the first new step, with what can be told of the way."""

    before: int  # generations
    after: int
    noticed: bool
    steps_lost: int
    phases_s: dict[str, float]


@dataclass(frozen=True)
class Figures:
    attempts: tuple[Attempt, ...]
    recoveries: tuple[Recovery, ...]
    noticed: int
    unnoticed: int
    relaunches_without_cause: int
    steps_lost_noticed: int
    steps_lost_unnoticed_max: int
    corrupt_resumes: int


def measure(
    events: Events, track: Sequence[Line], taken: Mapping[str, str], machines: Mapping[str, str]
) -> Figures:
    """`taken`: machine → "noticed" | "unnoticed"; `machines`: launch id → machine."""
    attempts = claimed_attempts(events, track, taken, machines)
    recoveries = tuple(_recovery(events, a, b, _work_ended_at(attempts, a)) for a, b in pairwise(attempts))
    lost_noticed = [r.steps_lost for r in recoveries if r.noticed]
    lost_unnoticed = [r.steps_lost for r in recoveries if not r.noticed]
    return Figures(
        attempts=attempts,
        recoveries=recoveries,
        noticed=sum(1 for how in taken.values() if how == "noticed"),
        unnoticed=sum(1 for how in taken.values() if how == "unnoticed"),
        relaunches_without_cause=_without_cause(events, attempts),
        steps_lost_noticed=sum(lost_noticed),
        steps_lost_unnoticed_max=max(lost_unnoticed, default=0),
        corrupt_resumes=corrupt_resumes(track),
    )


def claimed_attempts(
    events: Events, track: Sequence[Line], taken: Mapping[str, str], machines: Mapping[str, str]
) -> tuple[Attempt, ...]:
    launches: dict[int, str] = {}
    for event in events:
        if event["kind"] in ("launch.intended", "attempt.assigned") and event["attempt"] is not None:
            launches[event["attempt"]] = event["data"].get("launch", launches.get(event["attempt"], ""))
    found = []
    for event in events:
        if event["kind"] != "attempt.claimed":
            continue
        generation = event["attempt"]
        steps = [line for line in track if line.kind == "step" and line.generation == generation]
        starts = [line.step for line in track if line.kind == "start" and line.generation == generation]
        start = starts[0] if starts else int(event["data"]["step"])
        machine = machines.get(launches.get(generation, ""), "")
        found.append(
            Attempt(
                generation=generation,
                launch=launches.get(generation, ""),
                machine=machine,
                start_step=start,
                last_step=max((line.step for line in steps), default=start),
                first_at=steps[0].at if steps else None,
                last_at=steps[-1].at if steps else None,
                taken=taken.get(machine, ""),
            )
        )
    return tuple(sorted(found, key=lambda a: a.generation))


def _without_cause(events: Events, attempts: Sequence[Attempt]) -> int:
    """Counts planned attempts beyond the first whose forerunner's machine was left alone.

    An attempt that was planned but never claimed (its own machine was taken while it waited) counts by
    the claimed attempt before it.
    """
    count = 0
    for event in events:
        if event["kind"] != "attempt.planned":
            continue
        before = [a for a in attempts if a.generation < event["attempt"]]
        if before and not before[-1].taken:
            count += 1
    return count


def corrupt_resumes(track: Sequence[Line]) -> int:
    """Resumes whose training state is not, bit for bit, one that an earlier attempt had at that step."""
    seen: dict[int, set[str]] = {}
    count = 0
    for line in track:
        if line.kind == "start" and line.step >= 0 and line.state not in seen.get(line.step, set()):
            count += 1
        if line.kind == "step":
            seen.setdefault(line.step, set()).add(line.state)
    return count


def _first(events: Events, kind: str, generation: int) -> float | None:
    return next((e["at"] for e in events if e["kind"] == kind and e["attempt"] == generation), None)


def _work_ended_at(attempts: Sequence[Attempt], until: Attempt) -> float | None:
    """The last useful step so far: an attempt that died before its first step did not end any work."""
    ends = [a.last_at for a in attempts if a.generation <= until.generation and a.last_at is not None]
    return max(ends, default=None)


def _recovery(events: Events, before: Attempt, after: Attempt, ended_at: float | None) -> Recovery:
    ready_at = next(
        (
            e["at"]
            for e in events
            if e["kind"] == "instance.ready" and e["data"].get("launch") == after.launch
        ),
        None,
    )
    times = {
        "notice": _first(events, "notice.seen", before.generation) if before.taken == "noticed" else None,
        "work ended": ended_at,
        "launch intended": _first(events, "launch.intended", after.generation),
        "machine ready": ready_at,
        "claimed": _first(events, "restore.started", after.generation),  # by the agent, right after it
        "restored": _first(events, "restore.done", after.generation),
        "trainer started": _first(events, "trainer.started", after.generation),
        "first new step": after.first_at,
    }
    spans = {
        "notice → launch intended": ("notice", "launch intended"),
        "work ended → launch intended": ("work ended", "launch intended"),
        "launch intended → machine ready": ("launch intended", "machine ready"),
        "machine ready → claimed": ("machine ready", "claimed"),
        "claimed → restored": ("claimed", "restored"),
        "restored → trainer started": ("restored", "trainer started"),
        "trainer started → first new step": ("trainer started", "first new step"),
        "work ended → first new step": ("work ended", "first new step"),
    }
    phases = {}
    for name, (start, end) in spans.items():
        begun, ended = times[start], times[end]
        if begun is not None and ended is not None:
            phases[name] = round(ended - begun, 3)
    return Recovery(
        before=before.generation,
        after=after.generation,
        noticed=before.taken == "noticed",
        steps_lost=max(0, before.last_step - after.start_step),
        phases_s=phases,
    )
