"""Uploads and restores against a server that costs nothing, beside boto3 at its defaults, in turn."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tests.bench.figure import Figure
from tests.bench.memory import rollup_mb
from tests.servers.null_s3 import NullS3, null_s3

from outlast.protocol.codec import dump
from outlast.protocol.objects import Confidence, FileEntry, Manifest
from outlast.save.hashing import Hashing
from outlast.save.sources import MappedSource

GIB = 1 << 30
TENSORS, TENSOR_BYTES = 64, 16 << 20
RUNS = 5
LOOK_EVERY_S = 0.02

UP_SPEED_MIN = 2.0  # times boto3
UP_CPU_MAX = 0.30  # of boto3's
UP_MEMORY_MAX_MB = 64.0
DOWN_SPEED_MIN = 4.0


@dataclass(frozen=True)
class Spent:
    s: float
    cpu_s: float
    peak_mb: float


def uploads() -> list[Figure]:
    with tempfile.TemporaryDirectory(dir=_memory()) as name:
        folder = Path(name)
        file = folder / "model"
        _fill(file)
        with null_s3(folder, file, tls=True) as server:
            ours, boto3 = _in_turn(server, file, file, "up")
    command = "python -m tests.bench uploads"
    return [
        Figure("upload_speed_over_boto3", _over(boto3, ours, "s"), "x", UP_SPEED_MIN, "higher", command),
        Figure("upload_cpu_over_boto3", _over(ours, boto3, "cpu_s"), "x", UP_CPU_MAX, "lower", command),
        Figure(
            "upload_peak_memory", max(one.peak_mb for one in ours), "MB anonymous", UP_MEMORY_MAX_MB, "lower",
            command,
        ),
        Figure("upload_cpu", _median(ours, "cpu_s"), "s a GiB", None, "lower", command),
    ]  # fmt: skip


def restores() -> list[Figure]:
    """The limit holds over plain HTTP, where the client is what is measured; over TLS it is told."""
    figures = []
    command = "python -m tests.bench restores"
    with tempfile.TemporaryDirectory(dir=_memory()) as name:
        folder = Path(name)
        file, pickled = folder / "model.safetensors", folder / "model.pt"
        tensors = {f"t{n}": torch.randn(TENSOR_BYTES // 4) for n in range(TENSORS)}
        save_file(tensors, file)
        torch.save(tensors, pickled)
        del tensors
        _describe(file)
        for tls, limit in ((False, DOWN_SPEED_MIN), (True, None)):
            homes = [
                folder / f"{who}-{tls}" for who in ("ours", "boto3")
            ]  # each has a certificate of its own
            for home in homes:
                home.mkdir()
            with (
                null_s3(homes[0], file, tls=tls) as ours_from,
                null_s3(homes[1], pickled, tls=tls) as from_,
            ):
                ours, boto3 = _in_turn(ours_from, file, pickled, "down", from_)
            suffix = "_tls" if tls else ""
            speed, cpu = _over(boto3, ours, "s"), _over(ours, boto3, "cpu_s")
            figures += [
                Figure(f"restore_speed_over_boto3{suffix}", speed, "x", limit, "higher", command),
                Figure(f"restore_cpu_over_boto3{suffix}", cpu, "x", None, "lower", command),
            ]
    return figures


def _memory() -> str | None:
    """A disk that is slower than a network would be all that is measured."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _fill(file: Path) -> None:
    with file.open("wb") as out:
        for _ in range(GIB >> 20):
            out.write(os.urandom(1 << 20))


def _describe(file: Path) -> None:
    """A manifest beside the file, as the uploader would have made it."""
    hashing = Hashing(MappedSource(file, file.stat().st_size), lambda length: None)
    entry: FileEntry = hashing.entry("model", "model")
    manifest = Manifest(1, "o", "j", 1, "a", "000000001-g1-aa", 1, "", 1, "k", Confidence.STRONG, (entry,))
    file.with_suffix(".manifest").write_bytes(dump(manifest))


def _in_turn(
    server: NullS3, ours: Path, boto3: Path, way: str, other: NullS3 | None = None
) -> tuple[list[Spent], list[Spent]]:
    pairs = [
        (_run(server, ours, f"ours_{way}"), _run(other or server, boto3, f"boto3_{way}")) for _ in range(RUNS)
    ]
    return [mine for mine, _ in pairs], [theirs for _, theirs in pairs]


def _run(server: NullS3, file: Path, what: str) -> Spent:
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        env = {**os.environ, "BENCH_FOLDER": folder}
        if server.ca_file:
            env["SSL_CERT_FILE"] = server.ca_file
        command = [sys.executable, "-m", "tests.bench.transfer_client", what, server.endpoint, str(file)]
        peak_mb = 0.0
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as client:
            while client.poll() is None:
                try:
                    peak_mb = max(peak_mb, rollup_mb(client.pid, "Pss_Anon"))
                except (OSError, ValueError):
                    break  # it ends just now
                time.sleep(LOOK_EVERY_S)
            assert client.stdout is not None
            told = client.stdout.read()
        if client.returncode != 0:
            raise RuntimeError(f"{what} failed")
    return Spent(peak_mb=peak_mb, **json.loads(told))


def _median(spent: list[Spent], what: str) -> float:
    return round(float(statistics.median(getattr(one, what) for one in spent)), 3)


def _over(first: list[Spent], second: list[Spent], what: str) -> float:
    return round(_median(first, what) / _median(second, what), 3)
