"""`make bench-recovery`: how long the way back to work takes, phase by phase, and whether that is too long.

Writes bench/recovery.json, bench/recovery.svg and bench/recovery.md, the table of docs/recovery.md; ends
with 1 when a limit is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench.dots import draw, p95_s
from tests.bench.figure import Figure
from tests.bench.interrupt import NOTICE_S, STEP_S, interrupt_all, start_rig
from tests.bench.phases import NOTICE, PHASES, Recovery, recoveries, spans_s
from tests.e2e.stage import Stage

OF_EACH = 20
SEED = 1
FOLDER = Path("bench")
COMMAND = "make bench-recovery"


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures recoveries on the local cloud.")
    parser.add_argument("--of-each", type=int, default=OF_EACH, help="interruptions of each of the 3 kinds")
    parser.add_argument("--seed", type=int, default=SEED, help="of the moments of the interruptions")
    options = parser.parse_args()
    found = measure(options.of_each, options.seed)
    figures = judge(found)
    where = f"local cloud, {os.cpu_count()} cores, a trainer of {STEP_S:g} s a step, notice {NOTICE_S:.0f} s"
    FOLDER.mkdir(exist_ok=True)
    body = json.dumps([asdict(figure) for figure in figures], indent=2)
    (FOLDER / "recovery.json").write_text(body + "\n")
    (FOLDER / "recovery.svg").write_text(draw(found, where))
    (FOLDER / "recovery.md").write_text(table(found))
    print(table(found))
    for figure in figures:
        if not figure.holds:
            print(f"BROKEN: {figure.name} is {figure.value:g} {figure.unit}, limit {figure.limit:g}")
    return 0 if all(figure.holds for figure in figures) else 1


def measure(of_each: int, seed: int) -> list[Recovery]:
    with tempfile.TemporaryDirectory(prefix="outlast-recovery-") as name:
        stage = Stage(Path(name))
        try:
            stage.start()
            rig = start_rig(stage, "recovery", seed, lambda text: print(text, flush=True))
            done, events = interrupt_all(rig, of_each)
        finally:
            stage.close()
    return recoveries(events, done)


def judge(found: Sequence[Recovery]) -> list[Figure]:
    figures = []
    for phase in (phase for phase in PHASES if spans_s(found, phase)):
        spans = spans_s(found, phase)
        median_s, worst_s = statistics.median(spans), p95_s(spans)
        figures.append(_lower(f"{phase.name}_median", median_s, phase.limit_s))
        figures.append(_lower(f"{phase.name}_p95", worst_s, None))
    noticed = [one for one in found if one.interruption.kind == NOTICE]
    share = sum(one.launched_in_time for one in noticed) / len(noticed)
    again = sum(one.attempts - 1 for one in found)
    figures.append(Figure("launched_before_the_old_died", share, "of noticed", 1.0, "higher", COMMAND))
    figures.append(Figure("attempts_beyond_one", float(again), "attempts", 0.0, "lower", COMMAND))
    figures.append(Figure("recoveries", float(len(found)), "recoveries", None, "higher", COMMAND))
    return figures


def table(found: Sequence[Recovery]) -> str:
    """For the docs: one row a phase."""
    lines = ["| from → to | median | p95 | runs | limit of the median |", "|---|---|---|---|---|"]
    for phase in (phase for phase in PHASES if spans_s(found, phase)):
        spans = spans_s(found, phase)
        limit = "" if phase.limit_s is None else f"{phase.limit_s:g} s"
        figures = f"{statistics.median(spans):z.2f} s | {p95_s(spans):.2f} s | {len(spans)} | {limit}"
        lines.append(f"| {phase.title} | {figures} |")
    return "\n".join(lines) + "\n"


def _lower(name: str, value_s: float, limit_s: float | None) -> Figure:
    return Figure(name, round(value_s, 3), "s", limit_s, "lower", COMMAND)


if __name__ == "__main__":
    sys.exit(main())
