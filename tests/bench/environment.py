"""A second node's set-up beside the first one's: 2 GB of wheels, installed by pip, brought from a bucket."""

from __future__ import annotations

import shutil
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tests.bench.figure import Figure, lower
from tests.bench.saving import place
from tests.fakes.wheels import install_from, make_wheel

from outlast.bucket.client import open_bucket
from outlast.clock import SystemRuntime
from outlast.node.commands import Commands
from outlast.node.environments import NodeEnvironments
from outlast.node.home import Home
from outlast.node.logs import FileLog
from outlast.node_ports import DEAF
from outlast.ports import Bucket
from outlast.protocol.messages import Work

RUNS = 3
LIBRARIES = (420, 380, 260, 200, 160, 120, 60, 40)  # MB: about what torch with CUDA brings
PACKAGES = 60
MODULES = 350  # of each; pip makes a compiled file beside each
COMMAND = "python -m tests.bench environment"


@dataclass(frozen=True)
class Times:
    install_s: float
    keep_s: float
    bring_s: float


def environment() -> list[Figure]:
    with tempfile.TemporaryDirectory(dir=place()) as folder:
        root = Path(folder)
        names = make_wheel_house(root / "wheels")
        work = Work("bench", "bench", 1, "true", install=install_from(root / "wheels", *names))
        (root / "bucket").mkdir()
        bucket = open_bucket(f"file://{root / 'bucket'}")
        times = [once(root, bucket, work) for _ in range(RUNS)]
        shape = [path.stat().st_size for path in (root / "home").rglob("*") if path.is_file()]
    install_s, keep_s, bring_s = (
        statistics.median(getattr(one, name) for one in times) for name in ("install_s", "keep_s", "bring_s")
    )
    figures = [
        lower("environment", bring_s / install_s, "x the first set-up", 0.3),
        Figure("environment_install", round(install_s, 1), "s", None, "lower", COMMAND),
        Figure("environment_bring", round(bring_s, 1), "s", None, "lower", COMMAND),
        Figure("environment_keep", round(keep_s, 1), "s, beside the training", None, "lower", COMMAND),
        Figure(
            "environment_size",
            round(sum(shape) / 1e9, 2),
            f"GB in {len(shape)} files",
            None,
            "lower",
            COMMAND,
        ),
    ]
    return [replace(figure, command=COMMAND) for figure in figures]


def once(root: Path, bucket: Bucket, work: Work) -> Times:
    """The first node installs and keeps; the second one, with nothing on its disk, is brought it."""
    first, home = _node(root, bucket)
    install_s = _prepare(first, home, work, "install done")
    begun_s = time.perf_counter()
    first.keep(work, lambda: False, lambda: False, DEAF)
    keep_s = time.perf_counter() - begun_s
    second, home = _node(root, bucket)
    bring_s = _prepare(second, home, work, "was brought")
    second.forget()
    return Times(install_s, keep_s, bring_s)


def _node(root: Path, bucket: Bucket) -> tuple[NodeEnvironments, Home]:
    shutil.rmtree(root / "home", ignore_errors=True)
    home = Home(root / "home")
    home.prepare()
    return NodeEnvironments(SystemRuntime(), home, bucket, Commands(home, FileLog(home.logs))), home


def _prepare(node: NodeEnvironments, home: Home, work: Work, expected: str) -> float:
    begun_s = time.perf_counter()
    line = node.prepare(work, home.root, lambda: False, DEAF)
    assert expected in line, line
    return time.perf_counter() - begun_s


def make_wheel_house(folder: Path) -> list[str]:
    """Bytes of real libraries and real modules, so that they compress and compile as such do."""
    libraries = sorted(Path(torch.__file__).parent.rglob("*.so*"), key=lambda path: -path.stat().st_size)
    material = libraries[0].read_bytes()
    files = {f"big/lib{n}.so": _cut(material, n, size << 20) for n, size in enumerate(LIBRARIES)}
    make_wheel(folder, "big", {"big/__init__.py": b"", **files})
    sources = _sources()
    names = ["big"]
    for number in range(PACKAGES):
        name = f"small{number}"
        body = {f"{name}/part{n // 25}/module{n}.py": next(sources) for n in range(MODULES)}
        make_wheel(folder, name, body, {name: f"{name}:main"})
        names.append(name)
    return names


def _cut(material: bytes, number: int, size: int) -> bytes:
    """Another part of it each time, so that no two libraries are the same."""
    start = number * 7_654_321 % len(material)
    repeated = (material[start:] + material) * (size // len(material) + 1)
    return repeated[:size]


def _sources() -> Iterator[bytes]:
    """Modules of the standard library, each with a line of its own, again and again."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")) + sorted(
        path
        for folder in ("asyncio", "email", "json", "http", "logging", "unittest", "xml")
        for path in (Path(sysconfig.get_path("stdlib")) / folder).rglob("*.py")
    )
    bodies = [body for path in files if 200 < len(body := path.read_bytes()) < 40_000]
    number = 0
    while True:
        for body in bodies:
            number += 1
            yield b"# %d\n%s" % (number, body)
