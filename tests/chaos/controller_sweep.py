"""Kills or freezes the controller at one point after another of a play, and lets the next one go on.

`python -m tests.chaos.controller_sweep [PLAY …] [--freeze] [--every N]` goes through all points of all plays.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog
from tests.chaos.controller_plays import PLAYS, Play, empty, judge
from tests.chaos.controller_points import Point, Tap
from tests.chaos.controller_rig import Incarnation, Rig, every

from outlast_orchestrator.providers.local.config import CloudConfig, InstanceType
from outlast_orchestrator.providers.local.control import CloudControl, start_cloud, stop_cloud

CLOUD = CloudConfig(types=(InstanceType("cpu-1", 0.10, capacity=64),), notice_s=2.0, grace_s=0.5)
AT_ONCE = 3
SWEEP_EVERY_S = 0.5
# What has an effect outside the process; the other operations only look.
EFFECTS = ("store.commit", "cloud.launch", "cloud.terminate", "node.install", "bucket.take_generation")


@dataclass(frozen=True)
class Outcome:
    play: str
    point: Point | None
    reached: bool
    wrong: tuple[str, ...]
    points: tuple[Point, ...] = ()

    def __str__(self) -> str:
        return f"{self.play}, {self.point or 'undisturbed'}: " + "; ".join(self.wrong)


class _Attendant:
    """Starts the next controller when one is dead or stopped, and wakes the stopped one."""

    def __init__(self, rig: Rig, tap: Tap, *, freeze: bool, late: bool) -> None:
        self._rig = rig
        self._tap = tap
        self._freeze = freeze
        self._late = late  # it sleeps until everything is over
        self._next: Incarnation | None = None
        self._sweep = every(SWEEP_EVERY_S, lambda: rig.machine_room[-1].sweep())
        self.first = rig.start(tap)

    def __call__(self) -> None:
        """While a play waits for something."""
        if self._next is None and self._tap.reached.is_set():
            self.first.deaf() if self._freeze else self.first.end()
            self._next = self._rig.start(alone=not self._freeze)
        if self._freeze and not self._late and self._next is not None and self._next.leads():
            self._tap.thaw()
        self._sweep()

    def finish(self) -> list[str]:
        """After the play: whoever slept wakes up now, and has time to do harm."""
        if not (self._freeze and self._tap.reached.is_set()):
            return []
        self._tap.thaw()
        self._rig.until("the woken one has looked", lambda: "store.lead" in self._tap.done_since)
        time.sleep(3 * SWEEP_EVERY_S)  # what it may still have begun needs a moment to show
        empty(self._rig)
        wrote = self._tap.done_since.count("store.commit")
        return [f"the woken one wrote {wrote} times"] if wrote else []


def perform(
    control: CloudControl,
    folder: Path,
    play: Play,
    point: Point | None,
    *,
    freeze: bool = False,
    late: bool = False,
) -> Outcome:
    """One life, with its end at that point, and what came after."""
    tap, rig = Tap(point, freeze=freeze), Rig(folder, control)
    wrong: list[str] = []
    try:
        rig.launch_lag_s = play.launch_lag_s
        attendant = _Attendant(rig, tap, freeze=freeze, late=late)
        rig.attend = attendant
        play.run(rig)
        wrong += attendant.finish()
        wrong += judge(rig, play)
        wrong += [rig.story()] if wrong else []
    except AssertionError as error:
        wrong.append(str(error))
    finally:
        tap.thaw()
        rig.close()
    return Outcome(play.name, point, tap.reached.is_set(), tuple(wrong), tuple(tap.points))


def near_launch(points: Sequence[Point]) -> list[Point]:
    """From the last thing before a launch's intent to the first after its answer."""
    at = next(i for i, point in enumerate(points) if point.op == "cloud.launch")
    effects = [i for i, point in enumerate(points) if point.op in EFFECTS]
    around = [i for i in effects if abs(effects.index(i) - effects.index(at)) <= 3]
    return [points[i] for i in around]


def spread(points: Sequence[Point], most: int) -> list[Point]:
    """All points with an effect and as many of the others as there is room for, evenly."""
    effects = [point for point in points if point.op in EFFECTS]
    others = [point for point in points if point.op not in EFFECTS]
    chosen = _evenly(effects, most)
    return chosen + _evenly(others, most - len(chosen))


def _evenly(points: Sequence[Point], most: int) -> list[Point]:
    if most <= 0 or not points:
        return []
    if len(points) <= most:
        return list(points)
    return [points[i * len(points) // most] for i in range(most)]


def sweep(
    control: CloudControl,
    folder: Path,
    play: Play,
    most: int,
    *,
    freeze: bool = False,
    choose: Callable[[Sequence[Point]], Sequence[Point]] = list,
) -> list[Outcome]:
    """The undisturbed life first; then one for each point of a spread over those that are chosen from."""
    undisturbed = perform(control, folder / "undisturbed", play, None)
    chosen = spread(choose(undisturbed.points), most)

    def one(numbered: tuple[int, Point]) -> Outcome:
        number, point = numbered
        late = freeze and number % 2 == 1
        return perform(control, folder / str(number), play, point, freeze=freeze, late=late)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [undisturbed, *pool.map(one, enumerate(chosen))]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Kills a controller at each of its operations.")
    parser.add_argument("plays", nargs="*")
    parser.add_argument("--freeze", action="store_true")
    parser.add_argument("--most", type=int, default=10_000)
    chosen = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    broken = total = reached = 0
    with tempfile.TemporaryDirectory(prefix="outlast-sweep-") as name:
        folder = Path(name)
        control = start_cloud(folder / "cloud", CLOUD)
        try:
            for play in PLAYS:
                if chosen.plays and play.name not in chosen.plays:
                    continue
                control.clear()
                begun_s = time.monotonic()
                found = sweep(control, folder / play.name, play, chosen.most, freeze=chosen.freeze)
                bad = [outcome for outcome in found if outcome.wrong]
                total, broken = total + len(found), broken + len(bad)
                reached += sum(outcome.reached for outcome in found)
                took = f"{time.monotonic() - begun_s:.0f} s"
                sys.stdout.write(f"{play.name}: {len(found)} lives, {len(bad)} broken, {took}\n")
                sys.stdout.writelines(f"  {outcome}\n" for outcome in bad)
                sys.stdout.flush()
        finally:
            stop_cloud(folder / "cloud")
    sys.stdout.write(f"{total} lives, {reached} points reached, {broken} broken\n")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
