"""Connections and transactions: how the database is opened, and what its errors mean in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlmodel import Session

from outlast_orchestrator.core.errors import StoreError

BUSY_TIMEOUT_MS = 5_000
_WRITES = "outlast_writes"  # execution option: this transaction will write

# What a database says → what a person can do about it.
_MENDS = (
    ("readonly database", "is read-only: give this user the right to write the file and its folder"),
    ("disk is full", "cannot grow, the disk is full: free some space; nothing was lost"),
    ("not a database", "is not a database: move the file away, or restore it from a backup"),
    ("malformed", "is damaged: restore it from a backup"),
    ("unable to open", "cannot be opened: does the folder exist, and may this user write there?"),
    ("database is locked", "is locked by another process for too long"),
    ("disk I/O error", "cannot be read or written: the disk reports an error"),
)


def store_file(url: str) -> Path | None:
    """The file of an SQLite store; None for anything else."""
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database).removeprefix("file:"))


def open_engine(url: str) -> Engine:
    """An engine with what every connection needs. Raises StoreError when the URL cannot be used."""
    parsed = _parse(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    options: dict[str, Any] = {}
    if sqlite and parsed.database in (None, "", ":memory:"):
        options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    try:
        engine = create_engine(parsed, **options)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise StoreError(f"store {_name(parsed)}: no driver for it is installed ({error})") from error
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """One consistent picture. Raises StoreError."""
    with translated(engine), Session(engine) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """All or nothing, and durable on return. Raises StoreError."""
    writer = engine.execution_options(**{_WRITES: True})
    with translated(engine), Session(writer) as session, session.begin():
        yield session


@contextmanager
def writing_connection(engine: Engine) -> Iterator[Connection]:
    """For the migrations, which need a bare connection."""
    with translated(engine), engine.execution_options(**{_WRITES: True}).begin() as connection:
        yield connection


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turns the database's errors into one StoreError line."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip()
        first = cause.splitlines()[0] if cause else type(error).__name__
        mend = next((text for words, text in _MENDS if words in cause), f"failed: {first}")
        raise StoreError(f"the store {_name(engine.url)} {mend}") from error


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StoreError(
            f"store {url!r} is not a database URL: write e.g. sqlite:////home/me/.outlast/outlast.db"
        ) from error


def _name(url: URL) -> str:
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Settings of one connection.

    `synchronous=FULL` makes every commit in WAL mode wait for the disk. With NORMAL a power cut may take
    the last commits back: an intent to launch could vanish after its machine was started.
    """
    connection.isolation_level = None  # we say BEGIN ourselves, so that a writer can say IMMEDIATE
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes the write lock first: what it reads (the term) cannot change before it writes."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
