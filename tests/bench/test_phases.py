"""What the recovery bench makes of an event log, and how it draws and judges it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest
from tests.bench.dots import draw, p95_s
from tests.bench.phases import CLOSED, NOTICE, PHASES, SILENT, Interruption, Recovery, recoveries
from tests.bench.recovery import judge, table

BY_NAME = {phase.name: phase for phase in PHASES}


def _event(seq: int, at: float, kind: str, attempt: int | None, **data: str) -> dict[str, Any]:
    return {"seq": seq, "at": at, "kind": kind, "attempt": attempt, "data": data}


def _log(begin: int, at: float, let_go: str, let_go_at: float, launch_s: float) -> list[dict[str, Any]]:
    """One hand-over from generation `begin` to the next; offsets in seconds from `at`."""
    after = begin + 1
    rows = [
        (0.5, "notice.seen", begin, {}),
        (launch_s - 0.1, "attempt.planned", after, {}),
        (launch_s, "launch.intended", after, {"launch": f"l{after}"}),
        (let_go_at, let_go, begin, {}),
        (launch_s + 1.5, "instance.ready", None, {"launch": f"l{after}"}),
        (launch_s + 2.0, "restore.started", after, {}),
        (launch_s + 2.25, "trainer.started", after, {}),
        (launch_s + 3.0, "trainer.stepped", after, {}),
    ]
    if let_go == "attempt.closed":
        rows = rows[1:]
    return [_event(begin * 10 + n, at + s, kind, g, **data) for n, (s, kind, g, data) in enumerate(rows)]


def _one(kind: str, launch_s: float, let_go_at: float = 0.7, ended_s: float = 20.0) -> Recovery:
    let_go = "attempt.released" if kind == NOTICE else "attempt.closed"
    events = _log(3, 100.0, let_go, let_go_at, launch_s)
    return recoveries(events, [Interruption(kind, 3, "i-1", 100.0, 100.0 + ended_s)])[0]


def test_spans_are_between_the_events() -> None:
    one = _one(NOTICE, launch_s=0.75)
    assert one.after == 4
    assert one.attempts == 1
    assert one.span_s(BY_NAME["notice_to_launch"]) == pytest.approx(0.25)
    assert one.span_s(BY_NAME["launch_to_ready"]) == pytest.approx(1.5)
    assert one.span_s(BY_NAME["claimed_to_trainer"]) == pytest.approx(0.25)
    assert one.span_s(BY_NAME["closed_death_to_launch"]) is None


def test_the_later_of_launch_and_release_counts() -> None:
    phase = BY_NAME["launch_or_free_to_trainer"]
    assert _one(NOTICE, launch_s=1.0, let_go_at=0.6).span_s(phase) == pytest.approx(2.25)
    assert _one(NOTICE, launch_s=1.0, let_go_at=3.0).span_s(phase) == pytest.approx(0.25)


def test_an_attempt_that_was_lost_on_the_way_is_counted() -> None:
    events = _log(4, 100.0, "attempt.closed", 0.7, 0.75)
    lost = [_event(1, 100.1, "attempt.planned", 4), _event(2, 100.2, "launch.intended", 4, launch="l4")]
    found = recoveries([*lost, *events], [Interruption(CLOSED, 3, "i-1", 100.0, 100.0)])[0]
    assert (found.after, found.attempts) == (5, 2)


def test_a_replacement_asked_for_too_late_breaks_the_judgement() -> None:
    kinds = [_one(kind, launch_s=0.8) for kind in (NOTICE, CLOSED, SILENT)]
    assert all(figure.holds for figure in judge(kinds))
    late = [_one(NOTICE, launch_s=25.0), *kinds[1:]]
    broken = {figure.name for figure in judge(late) if not figure.holds}
    assert broken == {"launched_before_the_old_died", "notice_to_launch_median"}


@pytest.mark.parametrize(
    ("kind", "launch_s", "name"),
    [(CLOSED, 5.1, "closed_death_to_launch_median"), (SILENT, 15.1, "silent_death_to_launch_median")],
)
def test_a_median_beyond_its_limit_is_broken(kind: str, launch_s: float, name: str) -> None:
    others = [_one(other, launch_s=0.8) for other in (NOTICE, CLOSED, SILENT) if other != kind]
    broken = [f.name for f in judge([_one(kind, launch_s=launch_s), *others]) if not f.holds]
    assert broken == [name]


def test_p95_is_a_value_that_was_measured() -> None:
    assert p95_s([float(n) for n in range(1, 21)]) == 19.0
    assert p95_s([2.0, 1.0]) == 2.0


def test_the_picture_stands_alone_and_has_every_dot() -> None:
    found = [_one(kind, launch_s=0.8) for kind in (NOTICE, CLOSED, SILENT)]
    text = draw(found, "a rig & its <conditions>")
    root = ET.fromstring(text)
    dots = root.findall(".//{*}circle/{*}title")
    spans = [one.span_s(phase) for one in found for phase in PHASES]
    assert len(dots) == sum(span is not None for span in spans)
    assert len(root.findall(".//{*}line[@class='limit']")) == 4
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert table(found).count("\n") == 2 + sum(
        any(one.span_s(p) is not None for one in found) for p in PHASES
    )
