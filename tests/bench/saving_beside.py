"""Training throughput beside saves and their uploads, over that of the same training without any."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tests.agent.node.agent_kit import Bench, assign
from tests.bench.figure import Figure
from tests.bench.saving import place

from outlast.protocol.messages import Permission

PAIRS, SPAN_S = 5, 30.0
LIMIT_S = 3 * 2 * PAIRS * SPAN_S

# Spans of 30 s in turn: one begins with a save of 1 GiB, which the agent uploads, the next has none.
TRAINER = f"""
import json, os, time
from pathlib import Path
import torch, outlast
from tests.bench.saving import State

checkpointer = outlast.Checkpointer(state=State(), every=1, keep=1)
checkpointer.save(0)
time.sleep(20)
weights = torch.randn(700, 700) / 26
value, step, steps = torch.randn(700, 700), 0, {{"with": [], "without": []}}
for number in range({2 * PAIRS}):
    begun_s, done = time.monotonic(), 0
    while time.monotonic() - begun_s < {SPAN_S}:
        for _ in range(4):
            value = torch.tanh(value @ weights)
        step, done = step + 1, done + 1
        if done == 1 and number % 2 == 0:
            checkpointer.step(step)
    span_s = time.monotonic() - begun_s
    steps["without" if number % 2 else "with"].append(done / span_s)
result = Path(os.environ["BENCH_RESULT"])
result.with_suffix(".new").write_text(json.dumps(steps))
result.with_suffix(".new").rename(result)
outlast.done()
"""


def save_throughput() -> Figure:
    with tempfile.TemporaryDirectory(dir=place()) as folder, closing(Bench(Path(folder))) as bench:
        script, result = Path(folder) / "train.py", Path(folder) / "result.json"
        script.write_text(TRAINER)
        root = Path(__file__).parents[2]
        command = f"PYTHONPATH={root} BENCH_RESULT={result} exec {sys.executable} {script}"
        bench.controller.tell(assign(1, command), run=Permission())
        bench.start()
        end_s = time.monotonic() + LIMIT_S
        while not result.exists():
            if time.monotonic() > end_s:
                raise RuntimeError(f"the training did not end; the log: {bench.log()[-500:]}")
            time.sleep(1.0)
        if not any(report.save.durable is not None for report in bench.controller.reports):
            raise RuntimeError("nothing was uploaded: the figure would say nothing")
        steps = json.loads(result.read_bytes())
    share = 100 * statistics.median(steps["with"]) / statistics.median(steps["without"])
    command = "python -m tests.bench save_throughput"
    return Figure("save_throughput", round(share, 2), "% of that without saves", 98.0, "higher", command)
