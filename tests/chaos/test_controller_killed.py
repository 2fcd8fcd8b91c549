"""The controller dies, or stands still beyond its leadership, at one operation after another.

Each life is one play on real machines; its end is judged by the cloud, the bucket and the trainer's own
words. All points of all plays: `python -m tests.chaos.controller_sweep`, and with `--freeze`.
"""

from __future__ import annotations

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


def check(lives: list[Outcome], at_least: int) -> None:
    broken = [str(life) for life in lives if life.wrong]
    assert not broken, "\n\n".join(broken)
    reached = sum(life.reached for life in lives)
    assert reached >= at_least, f"only {reached} of {len(lives)} lives came to their point"


# A life that goes a little differently may end before its point.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("play", "points", "at_least"),
    [
        (ENDS, 26, 20),
        (LOST, 6, 4),
        (CANCELLED, 4, 3),
        (CANCELLED_EARLY, 6, 4),
        (STRANGERS, 6, 4),
        (TWIN, 4, 3),
    ],
    ids=lambda value: value.name if isinstance(value, Play) else "",
)
def test_killed_at_any_operation_the_next_controller_goes_on_and_nothing_is_left(
    tmp_path: Path, cloud: CloudControl, play: Play, points: int, at_least: int
) -> None:
    check(sweep(cloud, tmp_path, play, points), at_least)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("play", "points", "at_least"),
    [(ENDS, 10, 7), (CANCELLED_EARLY, 3, 2), (STRANGERS, 3, 2)],
    ids=lambda value: value.name if isinstance(value, Play) else "",
)
def test_stopped_beyond_its_leadership_and_woken_a_controller_does_nothing_twice(
    tmp_path: Path, cloud: CloudControl, play: Play, points: int, at_least: int
) -> None:
    """Half of them wake while the next one is at work, half when all is over."""
    check(sweep(cloud, tmp_path, play, points, freeze=True), at_least)


@pytest.mark.slow
def test_a_launch_whose_machine_is_listed_late_is_asked_for_again_and_still_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "cloud"  # of its own: its listing lags for everybody
    try:
        check(sweep(start_cloud(folder, CLOUD), tmp_path, LAGS, 6, choose=near_launch), 5)
    finally:
        stop_cloud(folder)
