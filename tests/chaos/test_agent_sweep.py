"""A real agent is killed or frozen before and after each operation on files and bucket: nothing is lost.

`OUTLAST_SWEEP=all` (make soak) visits every point; otherwise a fixed spread of them. `OUTLAST_POINT` with a
part of a case's text visits only those, to look at one again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.chaos.agent_points import PHASES, Case, phase_of, spread
from tests.chaos.agent_sweep import Ground, strike

ALL = os.environ.get("OUTLAST_SWEEP") == "all"
ONLY = os.environ.get("OUTLAST_POINT", "")
SPREAD = 40
PARTS = 64 if ALL else 8


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # one for all workers
    return Ground(shared / "agent-sweep")


def chosen(ground: Ground) -> Sequence[Case]:
    if ONLY:
        return [case for case in ground.cases if ONLY in str(case)]
    return ground.cases if ALL else spread(ground.cases, SPREAD)


def visited(ground: Ground, folder: Path, case: Case) -> str:
    """What was wrong at that point; one broken point must not hide the others."""
    try:
        strike(ground, folder, case)
    except AssertionError as error:
        return str(error)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_an_agent_struck_at_any_point_loses_nothing_and_spoils_nothing(
    ground: Ground, tmp_path: Path, part: int
) -> None:
    told = [visited(ground, tmp_path / "case", case) for case in chosen(ground)[part::PARTS]]
    assert not any(told), "\n\n=====\n\n".join(filter(None, told))


def test_the_points_are_many_and_of_every_phase(ground: Ground) -> None:
    points = {(case.scenario, case.strike.point, case.strike.moment) for case in ground.cases}
    assert len(points) == len(ground.cases)
    assert len(points) >= 200
    few = spread(ground.cases, SPREAD)
    assert len(set(few)) == SPREAD
    assert {phase_of(case.strike.point) for case in few} == set(PHASES)
    assert {(case.strike.deed, case.in_place) for case in few} == {
        ("kill", False),
        ("kill", True),
        ("stop", False),
    }
