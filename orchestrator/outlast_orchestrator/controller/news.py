"""Events that come from looking: facts that agents tell, and clouds that can't be listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from outlast.protocol.messages import Fact, Report
from outlast_orchestrator.controller.world import NOT_LISTED_YET, Region
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import FactMark, Instance
from outlast_orchestrator.core.view import Heard

FACTS_MAX = 500  # in one transaction; the rest comes with the next tick


@dataclass(frozen=True)
class News:
    """Events with the marks that keep each fact from being written twice."""

    events: tuple[Event, ...]
    marks: tuple[FactMark, ...]


def facts(
    heard: Mapping[str, Heard],
    records: Mapping[str, Instance],
    marks: Mapping[tuple[str, str], int],
    now_s: float,
) -> News:
    """The facts that are not in the event log yet, in the order in which they happened on each node."""
    events: list[Event] = []
    new_marks: list[FactMark] = []
    for launch_id, one in sorted(heard.items()):
        report, record = one.report, records.get(launch_id)
        if not report.facts or record is None or record.job != report.job:
            continue
        until = marks.get((launch_id, report.boot), 0)
        fresh = sorted((fact for fact in report.facts if fact.id > until), key=lambda fact: fact.id)
        fresh = fresh[: max(0, FACTS_MAX - len(events))]
        if fresh:
            events += [_event(report, fact, now_s - one.life_s) for fact in fresh]
            new_marks.append(FactMark(launch_id, report.boot, fresh[-1].id))
    return News(tuple(events), tuple(new_marks))


def _event(report: Report, fact: Fact, since_s: float) -> Event:
    known = fact.kind in Kind._value2member_map_
    return Event(
        kind=Kind(fact.kind) if known else Kind.TELL,
        why=fact.why if known else f"{fact.kind}: {fact.why}",
        job=report.job,
        attempt=report.generation or None,
        node=report.rank,
        data={**fact.data, "launch": report.instance},
        age_s=max(0.0, fact.age_s) + max(0.0, since_s),
    )


class Troubles:
    """Says once that a region can't be listed, and once that it can again."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def events(self, regions: Mapping[tuple[str, str], Region]) -> list[Event]:
        found: list[Event] = []
        for key, region in sorted(regions.items()):
            name, told = "/".join(key), key in self._told
            data = {"region": name}
            if region.problem and region.problem != NOT_LISTED_YET and not told:
                self._told.add(key)
                found.append(
                    Event(Kind.CLOUD_TROUBLE, f"{name} can't be listed: {region.problem}", data=data)
                )
            elif told and not region.problem:
                self._told.discard(key)
                found.append(Event(Kind.CLOUD_MENDED, f"{name} can be listed again", data=data))
        return found
