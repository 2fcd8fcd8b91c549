"""The words between agent and trainer: environment names, small files, how to read them. Pure.

The trainer is any command: it may ignore all of this but `OUTLAST_CHECKPOINT_DIR` and
`OUTLAST_RESUME_FROM`. `docs/trainer.md` explains it to people. Every file but the progress file is
replaced as a whole by rename, so a reader sees an old one or a new one, never half of one.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from outlast.protocol.codec import FormatError, dump, load

# Names in the trainer's environment. All paths are absolute.
JOB = "OUTLAST_JOB"
GENERATION = "OUTLAST_GENERATION"
CHECKPOINT_DIR = "OUTLAST_CHECKPOINT_DIR"  # the trainer saves here
RESUME_FROM = "OUTLAST_RESUME_FROM"  # the restored checkpoint; absent on a fresh start
RESUME_STEP = "OUTLAST_RESUME_STEP"  # its step; absent on a fresh start
SAVE_REQUEST = "OUTLAST_SAVE_REQUEST"  # agent → trainer: save now; absent until something is asked
SAVE_ANSWER = "OUTLAST_SAVE_ANSWER"  # trainer → agent: saved, and whether it leaves
PROGRESS = "OUTLAST_PROGRESS"  # trainer → agent: JSON lines, appended
DONE = "OUTLAST_DONE"  # trainer → agent: finished for good, nothing is left to train
OUTPUTS = "OUTLAST_OUTPUTS"  # the job's output patterns, one a line, for information

NODES = "OUTLAST_NODES"  # how many machines train together
NODE_RANK = "OUTLAST_NODE_RANK"  # which of them this is, from 0
MASTER_ADDR = "OUTLAST_MASTER_ADDR"  # of the first one, as the others reach it
MASTER_PORT = "OUTLAST_MASTER_PORT"  # another one in each generation

ALL = (
    JOB, GENERATION, CHECKPOINT_DIR, RESUME_FROM, RESUME_STEP,
    SAVE_REQUEST, SAVE_ANSWER, PROGRESS, DONE, OUTPUTS,
    NODES, NODE_RANK, MASTER_ADDR, MASTER_PORT,
)  # fmt: skip

# File names inside the folder that the agent keeps for one attempt.
FILE_NAMES = {
    SAVE_REQUEST: "save-request.json",
    SAVE_ANSWER: "save-answer.json",
    PROGRESS: "progress.jsonl",
    DONE: "done.json",
}

PROGRESS_BYTES_MAX = 4 << 20  # the trainer renames a longer one to `<name>.1` and begins anew


@dataclass(frozen=True)
class SaveRequest:
    """A wish for a checkpoint now. With `final` the trainer leaves (exit 0) when it is on disk.

    `id` is new for every request; the trainer answers each id once. The agent withdraws a request by
    removing the file.
    """

    id: str
    final: bool = False
    why: str = ""
    limit_s: float | None = None  # how long the agent can wait, from the moment of writing


@dataclass(frozen=True)
class SaveAnswer:
    """ "I saved step N for your request", written after the checkpoint is complete on the local disk."""

    id: str  # of the request
    step: int | None = None
    path: str = ""  # of the checkpoint, where the trainer knows it
    leaving: bool = False  # the process ends now, with exit code 0, and is *not* done


@dataclass(frozen=True)
class Done:
    """Finished for good: exit code 0 then means success, whatever was asked before."""

    step: int | None = None


@dataclass(frozen=True)
class Progress:
    """One line of the progress file. `polls`: this trainer looks at the save request file itself."""

    step: int | None = None  # the last finished step
    metrics: dict[str, float] = field(default_factory=dict)  # finite numbers only
    not_finite: tuple[str, ...] = ()  # metrics that were NaN or infinite
    polls: bool = False
    pid: int | None = None
    stall_s: float | None = None  # how long a save has made the training wait


def environment(
    *,
    job: str,
    generation: int,
    attempt_dir: str,
    checkpoint_dir: str,
    resume_from: str | None,
    resume_step: int | None,
    outputs: tuple[str, ...] = (),
) -> dict[str, str]:
    """The variables for one start of the trainer. Remove all of `ALL` from what it inherits first."""
    names = {
        JOB: job,
        GENERATION: str(generation),
        CHECKPOINT_DIR: checkpoint_dir,
        OUTPUTS: "\n".join(outputs),
    }
    names.update({name: f"{attempt_dir}/{file}" for name, file in FILE_NAMES.items()})
    if resume_from is not None:
        names[RESUME_FROM] = resume_from
        names[RESUME_STEP] = str(resume_step if resume_step is not None else 0)
    return names


def request_bytes(request: SaveRequest) -> bytes:
    return dump(request)


def answer_bytes(answer: SaveAnswer) -> bytes:
    return dump(answer)


def done_bytes(done: Done) -> bytes:
    return dump(done)


def read_request(body: bytes) -> SaveRequest:
    """Raises FormatError."""
    return load(SaveRequest, body)


def read_answer(body: bytes) -> SaveAnswer:
    """Raises FormatError."""
    return load(SaveAnswer, body)


def read_done(body: bytes) -> Done:
    """An empty file counts too: `touch "$OUTLAST_DONE"` is all that a shell script has to do."""
    try:
        return load(Done, body)
    except FormatError:
        return Done()


def progress_line(progress: Progress) -> bytes:
    """One line, short enough to be appended in one write."""
    line: dict[str, Any] = {}
    if progress.step is not None:
        line["step"] = progress.step
    if progress.metrics:
        line["metrics"] = progress.metrics
    if progress.not_finite:
        line["not_finite"] = list(progress.not_finite)
    if progress.polls:
        line["polls"] = True
    if progress.pid is not None:
        line["pid"] = progress.pid
    if progress.stall_s is not None:
        line["stall_s"] = round(progress.stall_s, 3)
    return json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def progress_of(step: int | None, metrics: dict[str, float]) -> Progress:
    """Sorts numbers that JSON cannot carry from those that it can."""
    finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
    return Progress(step, finite, tuple(name for name in metrics if name not in finite))


def read_progress(data: bytes) -> tuple[list[Progress], int]:
    """The whole lines at the beginning of `data`, and how many bytes they are.

    A line that does not fit is skipped: the trainer may be a shell script that appends to the file, and
    progress is never worth an attempt. The tail without a line end is left for the next call.
    """
    end = data.rfind(b"\n") + 1
    lines: list[Progress] = []
    for line in data[:end].splitlines():
        try:
            value = json.loads(line)
        except (UnicodeDecodeError, json.JSONDecodeError):
            continue
        if isinstance(value, dict):
            lines.append(_progress(value))
    return lines, end


def _progress(value: dict[str, Any]) -> Progress:
    step, pid, metrics = value.get("step"), value.get("pid"), value.get("metrics")
    stall_s = value.get("stall_s")
    stalled = isinstance(stall_s, (int, float)) and not isinstance(stall_s, bool) and 0 <= stall_s < math.inf
    finite: dict[str, float] = {}
    bad = [str(name) for name in value.get("not_finite") or ()]
    for name, number in (metrics if isinstance(metrics, dict) else {}).items():
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            if math.isfinite(number):
                finite[name] = float(number)
            else:
                bad.append(name)
    return Progress(
        step=step if isinstance(step, int) and not isinstance(step, bool) else None,
        metrics=finite,
        not_finite=tuple(bad),
        polls=value.get("polls") is True,
        pid=pid if isinstance(pid, int) and not isinstance(pid, bool) else None,
        stall_s=float(stall_s) if stalled and stall_s is not None else None,
    )
