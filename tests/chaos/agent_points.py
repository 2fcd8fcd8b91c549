"""The points of an agent's life at which it is struck: read from undisturbed runs, sorted, chosen from."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.agent_rig import Strike

PHASES = ("node", "claim", "restore", "copy", "upload", "manifest", "pointer", "delete", "outputs", "beside")
DEEDS = ("kill", "kill in place", "stop")


@dataclass(frozen=True)
class Case:
    """One strike in one scenario, and who comes after: a new node, or the same one (`in place`)."""

    scenario: str
    strike: Strike
    in_place: bool = False

    def __str__(self) -> str:
        return f"{self.scenario}: {self.strike}{' (in place)' if self.in_place else ''}"


def recorded(path: Path) -> list[tuple[str, str]]:
    """(label, moment) of every operation that took place, in the order in which they were begun."""
    rows = [line.split(" | ", 1) for line in path.read_text().splitlines()]
    done = {label for moment, label in rows if moment == "after"}
    return [(label, moment) for moment, label in rows if label in done]


def steady(records: Sequence[list[tuple[str, str]]]) -> list[tuple[str, str]]:
    """The points that every undisturbed run had; the last of a kind may differ with the machine's mood."""
    always = set.intersection(*(set(record) for record in records))
    return [point for point in records[0] if point in always]


def phase_of(label: str) -> str:
    thread, verb, what, number = label.split(" | ")
    if thread.startswith("restore") or "restoring" in what:
        return "restore"
    if verb.startswith("delete"):
        return "delete"
    if verb.startswith("create manifests"):
        return "manifest"
    if verb == "create latest.json" or (verb == "replace latest.json" and number == "1"):
        return "claim"
    if thread == "pointer":
        return "pointer"
    known = {
        "shipper": "upload",
        "finder": "copy",
        "outputs": "outputs",
        "workplace": "node",
        "trainer": "node",
    }
    return known.get(thread, "beside")


def first_and_last(points: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Of an operation that comes back with every checkpoint: the first, the second and the last time."""
    points = list(points)
    last: Counter[str] = Counter()
    for label, _ in points:
        kind, number = label.rsplit(" | ", 1)
        last[kind] = max(last[kind], int(number))
    chosen = []
    for label, moment in points:
        kind, number = label.rsplit(" | ", 1)
        if int(number) in (1, 2, last[kind]):
            chosen.append((label, moment))
    return chosen


def cases(scenario: str, points: Sequence[tuple[str, str]]) -> list[Case]:
    """Each point once; what befalls it goes round and round, so that every kind of operation meets all."""
    found, turns = [], Counter[str]()
    for label, moment in points:
        kind = re.sub(r"\d+", "", label.split(" | ", 1)[1]) + moment
        deed = DEEDS[(turns[kind] + sum(kind.encode())) % len(DEEDS)]
        turns[kind] += 1
        strike = Strike(label, moment, "stop" if deed == "stop" else "kill")
        found.append(Case(scenario, strike, in_place=deed == "kill in place"))
    return found


def spread(all_cases: Sequence[Case], count: int) -> list[Case]:
    """A fixed choice of that many, with something of every phase and deed."""
    by_kind: dict[tuple[str, str, bool], list[Case]] = defaultdict(list)
    for case in all_cases:
        by_kind[phase_of(case.strike.point), case.strike.deed, case.in_place].append(case)
    order = sorted(by_kind, key=lambda kind: (PHASES.index(kind[0]), kind[1:]))
    chosen: list[Case] = []
    turn = 0
    while len(chosen) < min(count, len(all_cases)):
        for kind in order:
            group = by_kind[kind]
            if turn < len(group):
                # Far apart in the group: a golden step visits all of it before it comes back.
                chosen.append(group[(turn * _stride(len(group)) + len(group) // 2) % len(group)])
        turn += 1
    return chosen[:count]


def _stride(size: int) -> int:
    step = max(1, int(size * 0.618))
    while any(step % divisor == 0 and size % divisor == 0 for divisor in range(2, step + 1)):
        step += 1
    return step
