"""The writer process of a trainer: makes one planned save after another durable. Loads no torch.

Plans come in on standard input, results go out on standard output. It outlives the trainer for as long as
the save takes that it was given: the arena holds all of it.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

from outlast import checkpoint_files
from outlast.protocol.codec import FormatError
from outlast.save.marker import MarkedFile, folder_name
from outlast.training import CheckpointError
from outlast.writing.arena import Reader
from outlast.writing.disk import digest_of, write_file
from outlast.writing.plan import NO_MORE, PlannedFile, SavePlan, SaveResult, line_of, read_plan, up_to_block

ORPHAN_LOOK_S = 2.0  # workers that the trainer forked hold its end of the pipe open after its death
READ_BYTES = 1 << 16


def carry_out(plan: SavePlan, arena: memoryview) -> SaveResult:
    """Writes, hashes, marks and renames; on an error nothing but the checkpoints before is left."""
    root = Path(plan.root)
    temp = root / plan.temp
    try:
        before = _marked_before(root, plan.before)
        temp.mkdir(parents=True, exist_ok=True)
        files, written_bytes = [], 0
        for file in plan.files:
            data = arena[file.offset : file.offset + up_to_block(file.size)]
            digest = _linked(temp, file, data[: file.size], before)
            if not digest:
                digest = write_file(temp / file.name, data, file.size)
                written_bytes += file.size
            files.append(MarkedFile(file.name, file.size, digest))
        if plan.commit:
            _check_others(temp, plan.others)
            checkpoint_files.commit(root, plan.temp, plan.step, (*files, *plan.others), plan.request)
            for step in plan.drop:
                checkpoint_files.drop(root, step)
        else:
            checkpoint_files.sync(temp)
    except (OSError, CheckpointError) as error:
        shutil.rmtree(temp, ignore_errors=True)
        return SaveResult(plan.step, str(error), getattr(error, "errno", None) or 0)
    return SaveResult(plan.step, files=tuple(files), written_bytes=written_bytes)


def _check_others(temp: Path, others: tuple[MarkedFile, ...]) -> None:
    """Raises CheckpointError: a file that another rank has written is not here."""
    for file in others:
        path = temp / file.path
        if not path.is_file() or path.stat().st_size != file.size:
            raise CheckpointError(
                f"{file.path}, which another rank has written, is not in {temp}: all ranks must save "
                "into one folder, on a file system that they share"
            )


def _marked_before(root: Path, step: int | None) -> dict[str, tuple[Path, MarkedFile]]:
    """The files of the save before that are still whole, by name."""
    if step is None:
        return {}
    folder = root / folder_name(step)
    try:
        marker = checkpoint_files.verify(folder)
    except CheckpointError:
        return {}  # deleted or moved away meanwhile: everything is written anew
    return {file.path: (folder / file.path, file) for file in marker.files}


def _linked(
    temp: Path, file: PlannedFile, data: memoryview, before: dict[str, tuple[Path, MarkedFile]]
) -> str:
    """The hash of a file that did not change and was linked instead of written; "" when it must be."""
    old = before.get(file.name)
    if not file.may_stay or old is None or old[1].size != file.size or not old[1].hash:
        return ""
    digest = digest_of(data)
    if digest != old[1].hash:
        return ""
    try:
        os.link(old[0], temp / file.name)
    except OSError:
        return ""  # no links on this file system, or deleted meanwhile
    return digest


def main() -> None:
    """Usage: ARENA (the number of its descriptor)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the trainer; a save under way is finished
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _let_the_training_go_first()
    reader = Reader(int(sys.argv[-1]))
    parent, buffer = os.getppid(), b""
    while True:
        line, found, rest = buffer.partition(b"\n")
        if found and line + found == NO_MORE:
            return
        if found:
            buffer = rest
            _answer(_result_of(line, reader))
            continue
        ready, _, _ = select.select([0], [], [], ORPHAN_LOOK_S)
        more = os.read(0, READ_BYTES) if ready else b""
        buffer += more
        if not more and (ready or os.getppid() != parent):
            return


def _let_the_training_go_first() -> None:
    """A process that wakes up takes the core from the one that woke it: the training would give up a time
    slice at the moment in which it hands over a save. A batch process waits for its turn."""
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):  # forbidden in this sandbox: only slower
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _result_of(line: bytes, reader: Reader) -> SaveResult:
    try:
        plan = read_plan(line)
        return carry_out(plan, reader.view(plan.arena_bytes))
    except (FormatError, OSError) as error:
        return SaveResult(-1, f"the plan can't be carried out: {error}", getattr(error, "errno", None) or 0)


def _answer(result: SaveResult) -> None:
    with suppress(BrokenPipeError):  # the trainer is gone; the save is in place all the same
        os.write(1, line_of(result))
