"""`outlast demo`: sets the stage, lets the director play, measures, and tells."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.demo.director import Director
from outlast_orchestrator.demo.figures import Figures, measure
from outlast_orchestrator.demo.report import render
from outlast_orchestrator.demo.show import Show
from outlast_orchestrator.demo.stage import Size, Stage, final_hash
from outlast_orchestrator.demo.watch import Watch, read_track

END_LIMIT_S = 300.0
REPORT = "demo-report.html"
EXPECTED: dict[str, Any] = {
    "bit_exact": True,
    "steps_lost_noticed": 0,
    "relaunches_without_cause": 0,
    "leaked_instances": 0,
    "corrupt_resumes": 0,
}


def run(as_json: bool, keep: bool, open_report: bool) -> int:
    """The exit status: 0 when every promise held. Raises UserError when the demo could not be played."""
    check_place()  # not only in four minutes
    clock = SystemClock()
    show = Show(clock, quiet=as_json)
    begun_s = clock.monotonic_s()
    show.say("setting the stage: a local cloud, a server, a job")
    stage = Stage(clock, Size())
    try:
        result, page = _play(stage, clock, show, begun_s)
    finally:
        show.stop()
        stage.close(keep)
    Path(REPORT).write_text(page, "utf-8")
    _tell(result, as_json)
    if open_report:
        webbrowser.open(Path(REPORT).resolve().as_uri())
    if keep:
        print(f"kept: {stage.home}", file=sys.stderr)
    return 0 if result["passed"] else 1


def check_place() -> None:
    """Raises UserError where no report can be left, and leaves nothing there."""
    report = Path(REPORT)
    there = report.exists()
    try:
        with report.open("ab"):
            if not there:
                report.unlink()
    except OSError as error:
        where = report.absolute()
        raise UserError(f"{where} can't be written: {error.strerror}; go to a folder of your own") from error


def _play(stage: Stage, clock: SystemClock, show: Show, begun_s: float) -> tuple[dict[str, Any], str]:
    stage.start_server()
    watch = Watch(stage, stage.submit())
    show.follow(watch)
    director = Director(watch, clock, show.say)
    director.play()
    stage.faults_to_come.unlink()
    show.say("no more faults: the job runs to its end")
    _until_over(watch, clock)
    if watch.state != "SUCCEEDED":
        raise UserError(f"the demo's job ended as {watch.state}: {watch.status.get('why')}")
    show.say("the same training again, undisturbed and without Outlast, to compare")
    outputs = stage.home / "final"
    stage.outlast("outputs", "get", watch.job, str(outputs))
    undisturbed = stage.train_undisturbed()
    watch.look()
    figures = _figures(watch, director)
    hashes = (final_hash(outputs / "outputs"), undisturbed)
    result = _result(stage, director, figures, hashes, clock.monotonic_s() - begun_s)
    return result, render(result, figures, watch.events, read_track(stage.track), director.spells)


def _until_over(watch: Watch, clock: SystemClock) -> None:
    start_s = clock.monotonic_s()
    while not watch.is_over:
        if clock.monotonic_s() - start_s > END_LIMIT_S:
            raise UserError(
                f"the demo's job did not end within {END_LIMIT_S:.0f} s: {watch.status.get('why')}"
            )
        clock.sleep(0.5)
        watch.look()


def _figures(watch: Watch, director: Director) -> Figures:
    machines = {i["launch_id"]: i["id"] for i in watch.status["instances"]}
    return measure(watch.events, read_track(watch.stage.track), director.taken, machines)


def _result(
    stage: Stage, director: Director, figures: Figures, hashes: tuple[str, str], duration_s: float
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "interruptions": len(director.taken),
        "noticed": figures.noticed,
        "unnoticed": figures.unnoticed,
        "in_upload": director.in_upload,
        "in_restore": director.in_restore,
        "controller_kills": director.controller_kills,
        "network_cuts": director.network_cuts,
        "relaunches_without_cause": figures.relaunches_without_cause,
        "steps_lost_noticed": figures.steps_lost_noticed,
        "steps_lost_unnoticed_max": figures.steps_lost_unnoticed_max,
        "checkpoint_interval_steps": stage.size.save_every,
        "recoveries": [dataclasses.asdict(r) for r in figures.recoveries],
        "bit_exact": hashes[0] == hashes[1],
        "sha256": hashes[0],
        "sha256_undisturbed": hashes[1],
        "leaked_instances": _leaked(stage),
        "corrupt_resumes": figures.corrupt_resumes,
        "duration_s": round(duration_s, 1),
    }
    within = result["steps_lost_unnoticed_max"] <= result["checkpoint_interval_steps"]
    result["passed"] = within and all(result[key] == value for key, value in EXPECTED.items())
    return result


def _leaked(stage: Stage) -> int:
    """Machines that still run some seconds after the job's end, by the cloud's own word."""
    deadline_s = stage.clock.monotonic_s() + 30.0
    while True:
        living = [i for i in stage.cloud.instances() if i["state"] not in ("ended", "terminated")]
        if not living or stage.clock.monotonic_s() > deadline_s:
            return len(living)
        threading.Event().wait(0.5)


def _tell(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result, indent=2))
        return
    lines: list[tuple[str, Callable[[], str]]] = [
        ("machines taken away", lambda: f"{result['interruptions']} ({result['noticed']} with notice)"),
        ("in the middle of", lambda: f"an upload {result['in_upload']}x, a restore {result['in_restore']}x"),
        ("controller killed", lambda: f"{result['controller_kills']}x"),
        ("steps lost with notice", lambda: str(result["steps_lost_noticed"])),
        (
            "steps lost without, at most",
            lambda: (
                f"{result['steps_lost_unnoticed_max']} "
                f"(one interval is {result['checkpoint_interval_steps']})"
            ),
        ),
        ("relaunches without cause", lambda: str(result["relaunches_without_cause"])),
        ("machines left behind", lambda: str(result["leaked_instances"])),
        ("final weights", lambda: "bit for bit the same" if result["bit_exact"] else "DIFFERENT"),
    ]
    for name, value in lines:
        print(f"  {name:<30} {value()}")
    for recovery in result["recoveries"]:
        total = recovery["phases_s"].get("work ended → first new step")
        took = f"{total:.1f} s" if total is not None else "its successor was taken before its first step"
        print(f"  recovery {recovery['before']} → {recovery['after']:<18} {took}")
    print(f"\n{'PASSED' if result['passed'] else 'FAILED'} in {result['duration_s']:.0f} s")
    print(f"report with pictures: {REPORT}")
