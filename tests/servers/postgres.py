"""A private PostgreSQL server on a Unix socket, for as long as a `with` block."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
import pytest

START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
USER = "outlast"
INSTALL = "apt-get install --no-install-recommends postgresql"
_DEBIAN = Path("/usr/lib/postgresql")
_UNSYNCED = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def find_programs() -> Path | None:
    """The folder with `initdb` and `postgres`: Debian keeps them off the PATH."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    if _DEBIAN.is_dir():
        found += [folder / "bin" for folder in sorted(_DEBIAN.iterdir(), key=_version, reverse=True)]
    return next((folder for folder in found if (folder / "postgres").exists()), None)


def _version(folder: Path) -> float:
    try:
        return float(folder.name)
    except ValueError:
        return 0.0


def need_programs() -> Path:
    """Skips the test where PostgreSQL is missing, and says how to get it; in CI nothing is skipped."""
    found = find_programs()
    if found is not None:
        return found
    missing = f"there is no PostgreSQL server here: {INSTALL}"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@dataclass
class Postgres:
    """One server; each database of it is a store of its own."""

    folder: Path
    pid: int
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{USER}@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """For looking at it, or holding a lock, beside the product."""
        return psycopg.connect(f"host={self.folder} user={USER} dbname={database}", autocommit=True)

    def fresh(self) -> str:
        """The URL of an empty database."""
        name = f"t{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        return self.url(name)


@contextmanager
def postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """A fresh cluster; ended by its pid. Unless `durable`, nothing waits for the disk.

    PostgreSQL refuses to run as root: there it runs as `nobody`. Its folder is not below pytest's, which
    only root may enter; and a socket's path must be short.
    """
    programs = need_programs()
    folder = Path(tempfile.mkdtemp(prefix="outlast-pg-"))
    try:
        drop = _not_as_root(folder)
        data = folder / "data"
        initdb = [str(programs / "initdb"), f"--pgdata={data}", f"--username={USER}", "--auth=trust"]
        initdb += ["--encoding=UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run([*drop, *initdb], capture_output=True, text=True, timeout=120, cwd=folder)
        assert made.returncode == 0, f"initdb: {made.stdout}{made.stderr}"
        options = ["listen_addresses=", f"unix_socket_directories={folder}", "unix_socket_permissions=0700"]
        options += [] if durable else _UNSYNCED
        command = [*drop, str(programs / "postgres"), "-D", str(data)]
        log = folder / "postgres.log"
        with log.open("wb") as out:
            words = [word for option in options for word in ("-c", option)]
            process = subprocess.Popen([*command, *words], stdout=out, stderr=out, cwd=folder)
        try:
            found = Postgres(folder, process.pid)
            _await(found, process, log)
            yield found
        finally:
            _stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _not_as_root(folder: Path) -> list[str]:
    """The words in front of a command, so that it ends with us and does not run as root."""
    words = ["setpriv", "--pdeathsig", "KILL"]
    if os.getuid() != 0:
        return words
    shutil.chown(folder, "nobody", "nogroup")
    return [*words, "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def _await(server: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"postgres ended: {log.read_text()[-2000:]}"
        try:
            server.connect().close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise AssertionError(f"postgres did not start in {START_LIMIT_S} s: {log.read_text()[-2000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Immediate shutdown: nobody needs what is in it, and open connections do not delay it."""
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
