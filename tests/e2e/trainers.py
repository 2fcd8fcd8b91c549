"""The programs that the tests train with: small, quick, and each with one habit of real trainers."""

from __future__ import annotations

from tests.e2e.stage import PYTHON

# Counts to STEPS and saves every SAVE_EVERY; tells TRACK, outside its machine, each step that it finished.
COUNTER = """
import os, sys, time
from pathlib import Path

import outlast
from outlast.checkpoint_files import write

root = Path(os.environ["OUTLAST_CHECKPOINT_DIR"])
begin = os.environ.get("OUTLAST_RESUME_FROM")
generation = os.environ["OUTLAST_GENERATION"]
steps, save_every = int(os.environ["STEPS"]), int(os.environ.get("SAVE_EVERY", "10"))
fill = "x" * int(os.environ.get("FILL_BYTES", "0"))
step = int((Path(begin) / "step.txt").read_text().split()[0]) if begin else 0
print("starting at", step, flush=True)


def save():
    try:
        write(root, step, lambda folder: (folder / "step.txt").write_text(f"{step} {fill}"))
    except OSError as error:
        print("not saved:", error, flush=True)


while step < steps:
    while outlast.should_save():
        save()
    step += 1
    time.sleep(float(os.environ.get("STEP_S", "0.02")))
    with open(os.environ["TRACK"], "a") as track:
        track.write(f"{generation} {step}\\n")
    outlast.log(step=step, loss=1.0 / step)
    if os.environ.get("CRASH_AT") == str(step):
        print("the data loader fell over at step", step, flush=True)
        sys.exit(3)
    if step % save_every == 0:
        save()
Path("result").mkdir(exist_ok=True)
Path("result/total.txt").write_text(str(sum(range(step + 1))))
outlast.done()
"""
COUNT = f"{PYTHON} -u counter.py"
