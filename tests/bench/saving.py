"""What a save of `Checkpointer` costs: the training's wait, the disk, the CPU; each beside its measure."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from tests.bench.figure import Figure, lower
from tests.bench.idle import cpu_s

import outlast
from outlast.bucket.client import open_bucket
from outlast.clock import SystemRuntime
from outlast.node.processes import descendants
from outlast.protocol.messages import CheckpointPlan
from outlast.protocol.objects import Manifest, ManifestRef, data_prefix
from outlast.save.stable_copy import stable_copy
from outlast.save.types import Draft, StableCopy
from outlast.save.upload import upload
from outlast.save.watch import Watcher

GIB = 1 << 30
TENSORS = 256  # of 4 MiB: about what a model of 1 GiB with its optimizer has
RUNS = 7
STALLS = 25
WRITE_BYTES = 16 << 20
FROZEN_BYTES = 256 << 20


class State:
    """Plain tensors with a state_dict, so that nothing but the save is measured."""

    def __init__(self, size: int = GIB) -> None:
        self.tensors = {f"t{n}": torch.randn(size // TENSORS // 4) for n in range(TENSORS)}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self.tensors

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.tensors = state


def place() -> Path:
    """On the repository's disk, where git does not look: the place for temporary files may be memory."""
    folder = Path("bench").absolute()
    folder.mkdir(exist_ok=True)
    return folder


def save_stall() -> list[Figure]:
    """How long `step` keeps the training when a save begins, over a warm memcpy of the same bytes."""
    with tempfile.TemporaryDirectory(dir=place()) as folder:
        checkpointer = outlast.Checkpointer(state=State(), dir=folder, every=1, keep=1)
        source, target = torch.randn(GIB // 4), torch.zeros(GIB // 4)
        checkpointer.save(0)  # touches the arena
        stalls, copies = [], []
        for step in range(1, STALLS + 1):
            copies.append(_wall_s(lambda: target.copy_(source)))
            stalls.append(_wall_s(lambda n=step: checkpointer.step(n)))  # type: ignore[misc]
            checkpointer.save(step)  # until it is durable: nobody saves more often than that
    stall = statistics.median(stalls)
    worst = sorted(stalls)[-(-STALLS * 99 // 100) - 1]
    figures = [
        lower("save_stall", stall / statistics.median(copies), "x warm memcpy", 1.1),
        lower("save_stall_p99", worst / stall, "x its median", 1.5),
    ]
    return [replace(figure, command="python -m tests.bench save_stall") for figure in figures]


def save_durable() -> list[Figure]:
    """A save with its hash until it is durable, over a plain write and fsync of the same bytes."""
    with tempfile.TemporaryDirectory(dir=place()) as folder:
        root = Path(folder)
        checkpointer = outlast.Checkpointer(state=State(), dir=root / "saves", every=None, keep=1)
        block = os.urandom(WRITE_BYTES)
        checkpointer.save(0)
        (writer,) = descendants(os.getpid())
        saves, writes, cpus = [], [], []
        for step in range(1, RUNS + 1):
            writes.append(_wall_s(lambda: _raw_write(root / "raw", block)))
            before_s = cpu_s(writer)
            saves.append(_wall_s(lambda n=step: checkpointer.save(n)))  # type: ignore[misc]
            cpus.append(cpu_s(writer) - before_s)
    figures = [
        lower("save_durable", statistics.median(saves) / statistics.median(writes), "x write + fsync", 1.2),
        lower("save_durable_cpu", statistics.median(cpus), "CPU s/GiB of the writer", 0.30),
    ]
    return [replace(figure, command="python -m tests.bench save_durable") for figure in figures]


def frozen_second_upload() -> Figure:
    """Of the bytes of a state that is 95 % frozen, the share that a second save sends."""
    with tempfile.TemporaryDirectory(dir=place()) as folder:
        share = second_upload_share(Path(folder), FROZEN_BYTES)
    return lower("frozen_second_upload", 100 * share, "% of the bytes", 5.5)


def second_upload_share(folder: Path, size: int) -> float:
    """Saves twice, with one training step between, and uploads both as the agent does."""
    base, adapter = (torch.nn.Parameter(torch.randn(n)) for n in (size * 95 // 400, size * 5 // 400))
    base.requires_grad_(False)
    model = torch.nn.ParameterList([base, adapter])
    checkpointer = outlast.Checkpointer(model=model, dir=folder / "c", every=None)
    (folder / "bucket").mkdir()
    bucket = open_bucket(f"file://{folder / 'bucket'}")
    drafts: list[Draft] = []
    for step in (1, 2):
        with torch.no_grad():
            adapter.add_(1)
        checkpointer.save(step)
        found = Watcher(CheckpointPlan(), checkpointer.root).scan(0.0, ())[-1]
        copy = stable_copy(found, folder / "staging", str(step))
        assert isinstance(copy, StableCopy), copy
        bases = [(ManifestRef(draft.name, "", draft.step), manifest_of(draft)) for draft in drafts]
        name = f"{step:09d}-g1-bench"
        runtime = SystemRuntime()
        drafts.append(upload(bucket, runtime, copy, name, bases[-1] if bases else None, lambda *_: None))
        copy.drop()
    sent = [file.size for file in drafts[1].files if file.key.startswith(data_prefix(drafts[1].name))]
    assert len(sent) < len(drafts[1].files), "nothing was named again"
    return sum(sent) / sum(file.size for file in drafts[1].files)


def manifest_of(draft: Draft) -> Manifest:
    name, kind, confidence = draft.name, draft.kind, draft.confidence
    return Manifest(1, "o", "j", 1, "a", name, draft.step, "", 1, kind, confidence, draft.files)


def _raw_write(path: Path, block: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        for _ in range(GIB // len(block)):
            os.write(descriptor, block)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _wall_s(act: Callable[[], object]) -> float:
    begun_s = time.perf_counter()
    act()
    return time.perf_counter() - begun_s
