"""Nodes of one job with a bucket between them: each has the same paths, and an empty disk."""

from __future__ import annotations

import shutil
import stat
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.fakes.bucket import MemoryBucket

from outlast.clock import SystemRuntime
from outlast.node.commands import Commands
from outlast.node.environments import NodeEnvironments
from outlast.node.home import Home
from outlast.node.logs import FileLog
from outlast.node_ports import Ear
from outlast.ports import Bucket
from outlast.protocol.messages import Work

# pip takes seconds to come into each environment, and nothing here needs it. A version: another Python.
PYTHON = """#!/bin/sh
echo "$@" >> "{folder}/python.log"
if [ "$1 $2" = "-m venv" ]; then exec {real} -m venv --without-pip "$3"; fi
if [ "$1" = -I ] && [ -n "{version}" ]; then {real} "$@" | sed 's/"[0-9.]*"/"{version}"/'; exit; fi
exec {real} "$@"
"""
PACK_BYTES = 1 << 20
INSTALL = """
echo installing >> {log}
lib=$(echo "$VIRTUAL_ENV"/lib/python3*/site-packages)
mkdir -p "$lib/words/empty"
echo "TEXT = 'installed'" > "$lib/words/__init__.py"
seq 200000 > "$lib/words/large"
: > "$lib/words/nothing"
ln "$lib/words/large" "$lib/words/twin"
ln -s ../words "$lib/words/empty/up"
printf '#!%s/bin/python\\nimport words; print(words.TEXT)\\n' "$VIRTUAL_ENV" > "$VIRTUAL_ENV/bin/say"
chmod 755 "$VIRTUAL_ENV/bin/say"
"""
# More than three packs, most of which do not compress. In the middle of it a node that is to die there waits.
LARGE_INSTALL = (
    INSTALL
    + """
head -c 2200000 /dev/urandom > "$lib/words/noise"
if [ -e stand-still ]; then touch reached; sleep 600; fi
"""
)


def never() -> bool:
    return False


@dataclass
class Machines:
    """`node` is the one at hand; `next` takes it away and gives another."""

    folder: Path
    bucket: Bucket = field(default_factory=lambda: MemoryBucket(chunk_bytes=1 << 16))
    facts: list[tuple[str, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    names: tuple[str, ...] = ()
    install: str = INSTALL

    def __post_init__(self) -> None:
        self.python()
        log = self.folder / "installs.log"
        env = {"PATH": f"{self.folder}/bin:/usr/bin:/bin"}
        self.work = Work("n", "own", 1, "true", install=self.install.format(log=log), env=env)
        self.again()

    def python(self, version: str = "") -> None:
        path = self.folder / "bin" / "python3"
        path.parent.mkdir(exist_ok=True)
        path.write_text(PYTHON.format(folder=self.folder, real=sys.executable, version=version))
        path.chmod(0o755)

    def next(self) -> None:
        shutil.rmtree(self.folder / "home", ignore_errors=True)
        self.again()

    def again(self) -> None:
        """The agent is started anew on the same machine."""
        home = Home(self.folder / "home")
        home.prepare()
        home.sweep()
        commands = Commands(home, FileLog(home.logs))
        self.node = NodeEnvironments(SystemRuntime(), home, self.bucket, commands, self.names, PACK_BYTES)

    @property
    def ear(self) -> Ear:
        return Ear(lambda kind, why, data: self.facts.append((kind, why)), self.lines.append)

    def prepare(self, **changes: object) -> str:
        self.work = replace(self.work, **changes)  # type: ignore[arg-type]
        return self.node.prepare(self.work, self.folder, never, self.ear)

    def keep(self) -> None:
        self.node.keep(self.work, never, never, self.ear)

    def kept(self) -> None:
        """The first node has installed and kept it; the next one is there."""
        self.prepare()
        self.keep()
        assert [kind for kind, _ in self.facts] == ["environment.kept"], self.facts
        self.facts.clear()
        self.next()

    @property
    def installs(self) -> int:
        log = self.folder / "installs.log"
        return log.read_text().count("installing") if log.exists() else 0

    def contents(self) -> dict[str, tuple[str, int, int, str]]:
        """All that lies in the environment: kind, mode, time and content."""
        root = Path(self.node.folder)
        return {str(path.relative_to(root)): _content(path) for path in sorted(root.rglob("*"))}


def _content(path: Path) -> tuple[str, int, int, str]:
    info = path.lstat()
    if path.is_symlink():
        return "link", 0, 0, str(path.readlink())
    if path.is_dir():
        return "folder", stat.S_IMODE(info.st_mode), 0, ""
    return "file", stat.S_IMODE(info.st_mode), info.st_mtime_ns, path.read_bytes().hex()
