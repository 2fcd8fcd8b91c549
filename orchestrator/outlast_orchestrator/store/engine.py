"""Connections and transactions: how the database is opened, and what its errors mean in one line."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlmodel import Session

from outlast_orchestrator.core.errors import StoreError
from outlast_orchestrator.store.sleepers import end_sleepers, waited_for_a_lock

BUSY_TIMEOUT_MS = 5_000
_WRITES = "outlast_writes"  # execution option: this transaction will write
_POSTGRES = "postgresql"
# A controller that is suspended in the middle of a transaction holds its locks, the leadership's among
# them, for as long as it sleeps: PostgreSQL ends such a transaction, and nobody waits longer for a lock.
_POSTGRES_LIMITS_MS = {
    "idle_in_transaction_session_timeout": BUSY_TIMEOUT_MS,
    "lock_timeout": 2 * BUSY_TIMEOUT_MS,
    "statement_timeout": 6 * BUSY_TIMEOUT_MS,
}
# psycopg's own; a URL may say otherwise. A host that vanished is noticed in half a minute.
_POSTGRES_CONNECT = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "20000",
}
# The calls' threads and the API's ask at the same time; two controllers stay below PostgreSQL's usual 100.
_POSTGRES_POOL = {"pool_size": 10, "max_overflow": 30, "pool_pre_ping": True}
_MIGRATING_IDLE_MS = 60_000
_MIGRATING = 0x6F75746C  # PostgreSQL's advisory lock under which tables are made

# What a database says → what a person can do about it.
_MENDS = (
    ("readonly database", "is read-only: give this user the right to write the file and its folder"),
    ("disk is full", "cannot grow, the disk is full: free some space; nothing was lost"),
    ("not a database", "is not a database: move the file away, or restore it from a backup"),
    ("malformed", "is damaged: restore it from a backup"),
    ("unable to open", "cannot be opened: does the folder exist, and may this user write there?"),
    ("database is locked", "is locked by another process for too long"),
    ("disk I/O error", "cannot be read or written: the disk reports an error"),
    ("No space left on device", "cannot grow, the disk is full: free some space; nothing was lost"),
    ("read-only transaction", "is read-only: it is a standby, or was set so; name the primary"),
    ("lock timeout", "is locked by another process for too long"),
    (
        "Connection refused",
        "cannot be reached: nothing listens there; does the database run, is the port right?",
    ),
    ("password authentication failed", "refuses this user or password: correct them in the store's URL"),
    ("idle-in-transaction", "took a transaction back: this process stood still in the middle of it"),
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
    elif parsed.get_backend_name() == _POSTGRES:
        options, parsed = dict(_POSTGRES_POOL), _with_limits(parsed)
    try:
        engine = create_engine(parsed, **options)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        mend = ": pip install 'outlast[postgres]'" if parsed.get_backend_name() == _POSTGRES else ""
        raise StoreError(f"store {_name(parsed)}: no driver for it is installed ({error}){mend}") from error
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
def connected(engine: Engine) -> Iterator[Connection]:
    """As `reading`, for plain columns. Raises StoreError."""
    with translated(engine), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """All or nothing, and durable on return. Raises StoreError."""
    writer = engine.execution_options(**{_WRITES: True})
    with translated(engine):
        try:
            with Session(writer) as session, session.begin():
                yield session
        except OperationalError as error:
            if waited_for_a_lock(error):
                end_sleepers(engine)
            raise


@contextmanager
def migrating_connection(engine: Engine) -> Iterator[Connection]:
    """For the migrations, which need a bare connection, and the tables for themselves."""
    with translated(engine), engine.execution_options(**{_WRITES: True}).begin() as connection:
        if engine.dialect.name == _POSTGRES:
            connection.execute(text("SET LOCAL statement_timeout = 0"))  # a big table takes its time
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            # Between two tables stands the loading of what makes them, on a slow disk for seconds.
            connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {_MIGRATING_IDLE_MS}"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
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
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        shown = re.sub(r"//.*@", "//…@", url)  # there may be a password
        raise StoreError(
            f"store {shown!r} is not a database URL: write e.g. sqlite:////home/me/.outlast/outlast.db"
        ) from error
    if parsed.drivername in (_POSTGRES, "postgres"):
        return parsed.set(drivername=f"{_POSTGRES}+psycopg")
    return parsed


def _with_limits(url: URL) -> URL:
    """What the URL itself says of a limit counts."""
    wanted = {key: value for key, value in _POSTGRES_CONNECT.items() if key not in url.query}
    limits = " ".join(f"-c {key}={ms}" for key, ms in _POSTGRES_LIMITS_MS.items())
    own = url.query.get("options", "")
    own = own if isinstance(own, str) else " ".join(own)
    return url.update_query_dict({**wanted, "options": f"{limits} {own}".strip()})


def _name(url: URL) -> str:
    """Without passwords, and without what was added to the query."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(query={"host": url.query["host"]} if "host" in url.query else {}).render_as_string()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Settings of one connection.

    `synchronous=FULL` makes every commit in WAL mode wait for the disk. With NORMAL a power cut may take
    the last commits back: an intent to launch could vanish after its machine was started.
    """
    connection.isolation_level = None  # we say BEGIN ourselves, so that a writer can say IMMEDIATE
    # A body with a broken byte is one damaged row; by default the whole query would fail.
    # (No function of ours: it is called for each text of each row.)
    connection.text_factory = functools.partial(str, encoding="utf-8", errors="surrogateescape")
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
