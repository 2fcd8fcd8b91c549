"""Computes the phases of each recovery from the event log. Pure.

Every time is the store's: what a node tells is dated back by its age when it is written. Only the moment of
an interruption comes from who made it, the end of a machine from the cloud's own listing, and the release
from the pointer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NOTICE, CLOSED, SILENT = "notice", "closed", "silent"
KINDS = (NOTICE, CLOSED, SILENT)

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Interruption:
    """What was really done to the machine of one generation."""

    kind: str
    generation: int
    machine: str
    at: float  # just before the cloud was asked for it
    ended_at: float  # the machine's end, by the cloud's word
    released_at: float | None = None  # by the pointer itself: the log tells when the controller read it


@dataclass(frozen=True)
class Phase:
    """A span between two moments of a recovery, for the kinds of interruption that have it."""

    name: str
    begin: tuple[str, ...]  # the later one of these
    end: str
    kinds: tuple[str, ...] = KINDS
    limit_s: float | None = None  # for the median

    @property
    def title(self) -> str:
        """In words: from what, the later one of two, to what."""
        begin = " and ".join(_words(name, self.kinds) for name in self.begin)
        return f"{begin} → {_words(self.end, self.kinds)}"


WORDS = {
    "launch_intended": "launch intended",
    "let_go": "old attempt let go",
    "ready": "machine ready",
    "claimed": "claimed",
    "trainer_started": "trainer started",
    "trainer_exited": "old trainer ended",
    "stepped": "first new step",
    "notice_seen": "notice seen",
}
BLOWS = {NOTICE: "notice given", CLOSED: "death, closed", SILENT: "death, silent"}


def _words(moment: str, kinds: tuple[str, ...]) -> str:
    return BLOWS[kinds[0]] if moment == "interrupted" else WORDS[moment]


PHASES = (
    Phase("notice_to_launch", ("notice_seen",), "launch_intended", (NOTICE,), 1.0),
    Phase("closed_death_to_launch", ("interrupted",), "launch_intended", (CLOSED,), 5.0),
    Phase("silent_death_to_launch", ("interrupted",), "launch_intended", (SILENT,), 15.0),
    Phase("launch_or_free_to_trainer", ("launch_intended", "let_go"), "trainer_started", KINDS, 3.0),
    Phase("launch_to_ready", ("launch_intended",), "ready"),
    Phase("ready_or_free_to_claimed", ("ready", "let_go"), "claimed"),
    Phase("claimed_to_trainer", ("claimed",), "trainer_started"),
    Phase("trainer_to_step", ("trainer_started",), "stepped"),
    Phase("notice_given_to_seen", ("interrupted",), "notice_seen", (NOTICE,)),
    Phase("noticed_work_to_step", ("trainer_exited",), "stepped", (NOTICE,)),
    Phase("closed_death_to_step", ("interrupted",), "stepped", (CLOSED,)),
    Phase("silent_death_to_step", ("interrupted",), "stepped", (SILENT,)),
)

# Moment → the event that tells of it, of the interrupted attempt or of the next.
LET_GO = ("attempt.released", "attempt.closed")  # closed after a notice: the next claim was read first
OF_THE_OLD = {
    "notice_seen": ("notice.seen",),
    "trainer_exited": ("trainer.exited",),
    "let_go": LET_GO,
}
OF_THE_NEW = {
    "launch_intended": ("launch.intended",),
    "claimed": ("restore.started",),  # the agent's first word after its claim
    "trainer_started": ("trainer.started",),
    "stepped": ("trainer.stepped",),
}


@dataclass(frozen=True)
class Recovery:
    """One interruption with the moments of the way back to work; wall clock."""

    interruption: Interruption
    after: int  # the generation that took over
    attempts: int  # how many were planned for it: 1, unless one more was lost on the way
    moments: Mapping[str, float]

    def span_s(self, phase: Phase) -> float | None:
        """None for a phase that this kind of interruption does not have, or whose ends are not known."""
        if self.interruption.kind not in phase.kinds or phase.end not in self.moments:
            return None
        if any(name not in self.moments for name in phase.begin):
            return None
        return self.moments[phase.end] - max(self.moments[name] for name in phase.begin)

    @property
    def launched_in_time(self) -> bool:
        """The replacement was asked for while the old machine still lived."""
        launched_at = self.moments.get("launch_intended")
        return launched_at is not None and launched_at < self.interruption.ended_at


def recoveries(events: Sequence[Event], done: Sequence[Interruption]) -> list[Recovery]:
    """One for each interruption; the generation after it is the next one whose trainer started."""
    return [_recovery(events, one) for one in done]


def _recovery(events: Sequence[Event], one: Interruption) -> Recovery:
    later = [e for e in events if (e["attempt"] or 0) > one.generation]
    after = min((e["attempt"] for e in later if e["kind"] == "trainer.started"), default=0)
    moments = {"interrupted": one.at}
    moments |= _first_of_each(events, OF_THE_OLD, one.generation)
    if one.released_at is not None:
        moments["let_go"] = one.released_at
    moments |= _first_of_each(events, OF_THE_NEW, after)
    launches = {e["data"].get("launch") for e in later if e["attempt"] == after} - {None, ""}
    for event in events:
        if event["kind"] == "instance.ready" and event["data"]["launch"] in launches:
            moments["ready"] = event["at"]
    planned = {e["attempt"] for e in later if e["kind"] == "attempt.planned" and e["attempt"] <= after}
    return Recovery(one, after, len(planned), moments)


def _first_of_each(
    events: Iterable[Event], wanted: Mapping[str, tuple[str, ...]], generation: int
) -> dict[str, float]:
    found: dict[str, float] = {}
    mine = [e for e in events if e["attempt"] == generation]
    for moment, kinds in wanted.items():
        at = min((e["at"] for e in mine if e["kind"] in kinds), default=None)
        if at is not None:
            found[moment] = at
    return found


def spans_s(found: Sequence[Recovery], phase: Phase) -> list[float]:
    return [span for one in found if (span := one.span_s(phase)) is not None]
