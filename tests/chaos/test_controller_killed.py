"""The controller dies, or stands still beyond its leadership, at one operation after another.

Each life is one play on real machines; its end is judged by the cloud, the bucket and the trainer's own
words. OUTLAST_SWEEP=all: every operation of each play, as `make soak` does; else a spread over them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.chaos.controller_plays import (
    CANCELLED,
    CANCELLED_EARLY,
    ENDS,
    LAGS,
    LOST,
    STRANGERS,
    TWIN,
    Play,
)
from tests.chaos.controller_sweep import CLOUD, Outcome, near_launch, sweep

from outlast_orchestrator.providers.local.control import CloudControl, start_cloud, stop_cloud

ALL = os.environ.get("OUTLAST_SWEEP") == "all"
MOST = 100_000
REACHED_SHARE = 0.7  # a life that goes a little differently may end before its point


def check(lives: list[Outcome]) -> None:
    broken = [str(life) for life in lives if life.wrong]
    assert not broken, "\n\n".join(broken)
    reached = sum(life.reached for life in lives)
    assert reached >= REACHED_SHARE * (len(lives) - 1), (
        f"only {reached} of {len(lives)} lives came to their point"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("play", "points"),
    [(ENDS, 20), (LOST, 6), (CANCELLED, 4), (CANCELLED_EARLY, 6), (STRANGERS, 6), (TWIN, 4)],
    ids=lambda value: value.name if isinstance(value, Play) else "",
)
def test_killed_at_any_operation_the_next_controller_goes_on_and_nothing_is_left(
    tmp_path: Path, cloud: CloudControl, play: Play, points: int
) -> None:
    check(sweep(cloud, tmp_path, play, MOST if ALL else points))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("play", "points"),
    [(ENDS, 8), (CANCELLED_EARLY, 3), (STRANGERS, 3)],
    ids=lambda value: value.name if isinstance(value, Play) else "",
)
def test_stopped_beyond_its_leadership_and_woken_a_controller_does_nothing_twice(
    tmp_path: Path, cloud: CloudControl, play: Play, points: int
) -> None:
    """Half of them wake while the next one is at work, half when all is over."""
    check(sweep(cloud, tmp_path, play, MOST if ALL else points, freeze=True))


@pytest.mark.slow
def test_a_launch_whose_machine_is_listed_late_is_asked_for_again_and_still_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "cloud"  # of its own: its listing lags for everybody
    try:
        check(sweep(start_cloud(folder, CLOUD), tmp_path, LAGS, 6, choose=near_launch))
    finally:
        stop_cloud(folder)
