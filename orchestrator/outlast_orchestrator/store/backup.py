"""Copies a living SQLite store into one file, with the key of its nodes, and reads such a file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import make_url

from outlast_orchestrator.core.errors import StoreError, UserError
from outlast_orchestrator.store.engine import BUSY_TIMEOUT_MS, store_file

OWN_TOOLS = {"postgresql": ("pg_dump", "pg_restore"), "mysql": ("mysqldump", "mysql")}
# The table `outlast_backup` beside the store's own holds what else is needed, so that one file is enough.


@dataclass(frozen=True)
class Stamp:
    """What a backup tells besides the store itself."""

    made_at: float
    version: str
    node_key: str


@dataclass(frozen=True)
class Contents:
    """What a file holds, as far as it has to be known before it becomes the store."""

    owner: str
    jobs: int
    event_max: int  # number of its newest event
    event_at: float
    made_at: float = 0.0  # 0: it is a store, and not a backup of one
    version: str = ""
    node_key: str = ""


def back_up(url: str, target: Path, stamp: Stamp, *, overwrite: bool) -> Contents:
    """Writes `target`, 0600, whole or not at all, while the store is in use. Raises UserError, StoreError."""
    file = file_of(url)
    if not file.exists():
        raise UserError(f"there is no store {file} here: nothing was backed up")
    if target.is_dir() or not target.parent.is_dir():
        raise UserError(f"{target} can't be written: name a file in a folder that exists")
    if target.exists() and (not overwrite or target.samefile(file)):
        hint = "" if target.samefile(file) else ", or overwrite it with -f"
        raise UserError(f"{target} exists: choose another name{hint}")
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        copy(file, fresh)
        with closing(sqlite3.connect(fresh)) as made, _told(fresh), made:
            made.execute("DROP TABLE IF EXISTS outlast_backup")
            made.execute("CREATE TABLE outlast_backup (made_at REAL, version TEXT, node_key TEXT)")
            row = (stamp.made_at, stamp.version, stamp.node_key)
            made.execute("INSERT INTO outlast_backup VALUES (?, ?, ?)", row)
        contents = examine(fresh)
        put_in_place(fresh, target, overwrite=overwrite)
    finally:
        fresh.unlink(missing_ok=True)
    return contents


def file_of(url: str, *, restore: bool = False) -> Path:
    """The file of an SQLite store. Raises UserError for any other, with the tool to use instead."""
    file = store_file(url)
    if file is None:
        backend = make_url(url).get_backend_name()
        tool = OWN_TOOLS.get(backend, ("its own tools", "its own tools"))[restore]
        what = "restored" if restore else "backed up"
        raise UserError(f"the store is a {backend} database, which is {what} with {tool}: nothing was done")
    return file


def copy(source: Path, target: Path) -> None:
    """One consistent picture of `source`, although others write to it; writers are not held up."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    with _reading(source) as from_, closing(sqlite3.connect(target)) as to, _told(source):
        from_.backup(to)
        to.execute("PRAGMA journal_mode=DELETE").fetchall()  # one file, nothing beside it


def examine(file: Path) -> Contents:
    """Reads every page. Raises UserError: what is not ours or not whole is named."""
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    with _reading(file) as opened:
        try:
            (found,) = opened.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise UserError(f"{file} is damaged ({' '.join(str(found).split())}): take another backup")
            return _contents(opened)
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise StoreError(f"{file} can't be read: {error}") from error
            raise UserError(f"{file} is a database of something else: no Outlast store") from error
        except sqlite3.DatabaseError as error:
            raise UserError(f"{file} is no backup of an Outlast store, or damaged: {error}") from error


def _contents(opened: sqlite3.Connection) -> Contents:
    (owner,) = opened.execute("SELECT owner FROM store").fetchone() or ("",)
    opened.execute("SELECT version_num FROM alembic_version")
    (jobs,) = opened.execute("SELECT count(*) FROM jobs").fetchone()
    event_max, event_at = opened.execute("SELECT max(seq), max(at) FROM events").fetchone()
    found = Contents(owner, jobs, event_max or 0, event_at or 0.0)
    if not opened.execute("SELECT 1 FROM sqlite_master WHERE name = 'outlast_backup'").fetchone():
        return found
    about = opened.execute("SELECT made_at, version, node_key FROM outlast_backup").fetchone()
    return Contents(owner, jobs, found.event_max, found.event_at, *about)


def forget_about(file: Path) -> None:
    """A store holds no key."""
    with closing(sqlite3.connect(file)) as opened, _told(file), opened:
        opened.execute("DROP TABLE IF EXISTS outlast_backup")


def put_in_place(fresh: Path, target: Path, *, overwrite: bool) -> None:
    """Durable, and under its name at once or not at all. Raises UserError when the name was taken."""
    _sync(fresh)
    if overwrite:
        fresh.replace(target)
    else:
        try:
            os.link(fresh, target)
        except FileExistsError as error:
            raise UserError(f"{target} exists: choose another name, or overwrite it with -f") from error
    _sync(target.parent)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    with _told(file):
        opened = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_MS / 1000)
    with closing(opened):
        yield opened


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """The database's errors as one line."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{file} can't be copied: {error}") from error
    except OSError as error:
        raise StoreError(f"{file} can't be copied: {error.strerror}") from error
