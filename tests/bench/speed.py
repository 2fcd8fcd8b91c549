"""Speed, as ratios measured in one run, or as CPU seconds."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import xxhash
from safetensors.torch import save_file
from tests.bench.figure import Figure, lower, ratio
from tests.core.build import after, decided, running

from outlast.protocol.objects import Confidence
from outlast.save.gate import Gate
from outlast.save.sources import FileSource
from outlast.save.types import StableCopy, StableFile

STARTS = 11
JOBS = 1000
VALUES = 16 << 20  # 64 MiB of float32


def _wall_s(*command: str) -> float:
    begun_s = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun_s


def help_over_pass() -> Figure:
    """How much longer `outlast --help` takes than an interpreter that does nothing."""
    value = ratio(
        lambda: _wall_s("-m", "outlast_orchestrator.cli.main", "--help"),
        lambda: _wall_s("-c", "pass"),
        STARTS,
    )
    return lower("help_over_pass", value, "x `python -c pass`", 8.0)


def decide_quiet_jobs() -> Figure:
    """CPU seconds to look at 1,000 running jobs where nothing has changed, the decision alone."""
    view = after(running())
    decided(view)
    begun_s = time.process_time()
    for _ in range(JOBS):
        decided(view)
    return lower("decide_1000_quiet_jobs", time.process_time() - begun_s, "CPU s", 0.3)


def gate_over_hash() -> Figure:
    """CPU of examining a file for NaN and Inf, over the CPU of hashing it once with xxh3-128."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tensors.safetensors"
        save_file({"weights": torch.randn(VALUES)}, path)
        source = FileSource(path, path.stat().st_size)
        copy = StableCopy(1, "outlast", Confidence.STRONG, (StableFile(path.name, source),), lambda: None)

        def examine() -> float:
            begun_s = time.process_time()
            Gate(None).check(copy, None)
            return time.process_time() - begun_s

        def digest() -> float:
            begun_s = time.process_time()
            xxhash.xxh3_128(path.read_bytes()).digest()
            return time.process_time() - begun_s

        value = ratio(examine, digest, 7)
    return lower("gate_over_hash", value, "x xxh3-128", 8.0)
