"""The agent with all it needs, as one archive for a node's Python: the node itself needs no internet.

What is compiled comes as wheels from where pip of this machine finds them, or, for a node with this
machine's own Python, from what is installed here. Each archive is made once and kept.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# What wheels for Linux say they run on, newest first; every image with a GPU driver of today has glibc 2.28.
PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
FETCH_LIMIT_S = 600.0
NAME_CHARS = 16
# Apart, because the trainer gets the code alone: it may have another Python, and packages of its own.
CODE, PACKAGES = "code", "packages"
MAIN = f"""\
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(here, name) for name in ({CODE!r}, {PACKAGES!r})]

from outlast.__main__ import main

raise SystemExit(main(sys.argv[1:]))
"""
_NAME = re.compile(r"[A-Za-z0-9._-]+")


class BundleTrouble(Exception):
    """One line: why there is no agent for that Python, and how to mend it."""


@dataclass(frozen=True)
class Target:
    """What a node runs: `python` as `3.12`, `machine` as `uname -m` says it."""

    python: str
    machine: str


@dataclass(frozen=True)
class Bundle:
    """`name` changes with everything that is in it."""

    name: str
    file: Path


class Bundles:
    """Made below `folder` when one is asked for first. Safe from any thread."""

    def __init__(self, folder: Path, needs: Sequence[str] | None = None) -> None:
        """`needs`: what the agent depends on; None: as its own metadata says."""
        self._folder = folder
        self._needs = tuple(_needs() if needs is None else needs)
        self._lock = threading.Lock()

    def of(self, target: Target) -> Bundle:
        """Takes seconds the first time. Raises BundleTrouble."""
        name = f"agent-{self._digest(target)}"
        file = self._folder / f"{name}.tar.gz"
        with self._lock:
            if not file.exists():
                try:
                    self._make(target, file)
                except OSError as error:
                    raise BundleTrouble(f"{file} can't be written: {error}") from error
        return Bundle(name, file)

    def _digest(self, target: Target) -> str:
        hashed = hashlib.sha256(repr((target, self._needs, MAIN)).encode())
        for name, body in _own_code():
            hashed.update(f"{name} {len(body)}\n".encode() + body)
        return hashed.hexdigest()[:NAME_CHARS]

    def _make(self, target: Target, file: Path) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as made:
            root = Path(made) / "root"
            root.mkdir()
            if target == own_target():
                _copy_installed(self._needs, root / PACKAGES)
            else:
                _fetch(self._needs, target, root / PACKAGES)
            for name, body in _own_code():
                path = root / CODE / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(body)
            (root / "__main__.py").write_text(MAIN)
            fresh = Path(made) / "bundle"
            _pack(root, fresh)
            os.replace(fresh, file)


def own_target() -> Target:
    return Target("{}.{}".format(*sys.version_info[:2]), platform.machine())


def _needs() -> list[str]:
    """Requirements of the base install, without extras."""
    found = importlib.metadata.requires("outlast") or []
    return sorted(line for line in found if "extra ==" not in line)


def _own_code() -> Iterator[tuple[str, bytes]]:
    spec = importlib.util.find_spec("outlast")
    assert spec is not None, "it is the other half of this package"
    root = Path(str(spec.origin)).parent
    for path in sorted(root.rglob("*.py")):
        yield str(Path("outlast") / path.relative_to(root)), path.read_bytes()


def _copy_installed(needs: Sequence[str], root: Path) -> None:
    """Raises BundleTrouble."""
    for need in needs:
        match = _NAME.match(need)
        name = match[0] if match else need
        try:
            files = importlib.metadata.distribution(name).files or []
        except importlib.metadata.PackageNotFoundError as error:
            raise BundleTrouble(f"{name} is not installed here: pip install {name}") from error
        for file in files:
            if ".." in file.parts or "__pycache__" in file.parts:
                continue  # scripts, and what was compiled here
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), path)


def _fetch(needs: Sequence[str], target: Target, root: Path) -> None:
    """Raises BundleTrouble."""
    platforms = [f"--platform={one}_{target.machine}" for one in PLATFORMS]
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check",
        "--no-compile", "--only-binary=:all:", "--implementation=cp", f"--python-version={target.python}",
        *platforms, f"--target={root}", *needs,
    ]  # fmt: skip
    what = f"the agent's packages for Python {target.python} on {target.machine}"
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=FETCH_LIMIT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise BundleTrouble(f"pip did not bring {what} within {FETCH_LIMIT_S:g} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise BundleTrouble(f"pip did not bring {what}: {lines[-1] if lines else 'it said nothing'}")


def _pack(root: Path, file: Path) -> None:
    """The same content gives the same bytes."""
    with tarfile.open(file, "w:gz", compresslevel=6) as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                info = archive.gettarinfo(path, str(path.relative_to(root)))
                info.uid = info.gid = info.mtime = 0
                info.uname = info.gname = ""
                info.mode = 0o755 if info.mode & 0o100 else 0o644
                with path.open("rb") as opened:
                    archive.addfile(info, opened)
