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
    # The moment: two saves of one step are two files, not one that both name.
    try:
        write(root, step, lambda folder: (folder / "step.txt").write_text(f"{step} {time.time_ns()} {fill}"))
    except OSError as error:
        print("not saved:", error, flush=True)


while step < steps:
    while outlast.should_save():
        time.sleep(float(os.environ.get("ASKED_SAVE_S", "0")))
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

# Saves a number in a file whose name is the step, waits for a word from outside, and falls over.
_SHELL_HEAD = """
n=0
[ -n "$OUTLAST_RESUME_FROM" ] && n=$(cat "$OUTLAST_RESUME_FROM")
echo "counting from $n"
n=$((n + 7))
"""
SHELL = (
    _SHELL_HEAD
    + """
echo "$n" > "$OUTLAST_CHECKPOINT_DIR/step_$n.bin"
while [ ! -e "$GO" ]; do sleep 0.1; done
echo "train.sh: the licence server is away" >&2
exit 3
"""
)
SHELL_MENDED = _SHELL_HEAD + 'echo "$n" > total.txt\n'

# Knows only its folder and a signal: on USR1 it saves and leaves with 0, as Hugging Face's Trainer may do.
LEAVER = """
import os, signal, sys, time
from pathlib import Path

root = Path(os.environ["OUTLAST_CHECKPOINT_DIR"])
begin = os.environ.get("OUTLAST_RESUME_FROM")
step = int(Path(begin).read_text()) if begin else 0
asked = []
signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
while step < int(os.environ["STEPS"]):
    time.sleep(0.05)
    step += 1
    with open(os.environ["TRACK"], "a") as track:
        track.write(f"{os.environ['OUTLAST_GENERATION']} {step}\\n")
    if asked:
        (root / f"step_{step}.bin").write_text(str(step))
        sys.exit(0)
Path("total.txt").write_text(str(step))
"""

# Counts in a tensor. From step POISON on that is NaN, as long as there is no HEALED; there it waits for GO.
SICK = """
import json, os, struct, time
from pathlib import Path

import outlast
from outlast.checkpoint_files import write

root, healed = Path(os.environ["OUTLAST_CHECKPOINT_DIR"]), Path(os.environ["HEALED"])
poison, go = int(os.environ["POISON"]), Path(os.environ["GO"])
begin = os.environ.get("OUTLAST_RESUME_FROM")
value = struct.unpack("<f", (Path(begin) / "model.safetensors").read_bytes()[-4:])[0] if begin else 0.0
assert value == value, "resumed from NaN"
step = int(value)
print("starting at", step, flush=True)
head = json.dumps({"layer.0.w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()


def save():
    body = struct.pack("<Q", len(head)) + head + struct.pack("<f", value)
    write(root, step, lambda folder: (folder / "model.safetensors").write_bytes(body))


while step < int(os.environ["STEPS"]):
    step, value = step + 1, value + 1.0
    if step >= poison and not healed.exists():
        while not go.exists():
            time.sleep(0.05)
        value = float("nan")
    time.sleep(0.02)
    outlast.log(step=step)
    if step % 10 == 0:
        save()
Path("total.txt").write_text(str(value))
outlast.done()
"""
