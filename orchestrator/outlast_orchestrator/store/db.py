"""The store as the controller and the API know it: one class over any database that SQLAlchemy speaks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import Engine
from sqlmodel import Session, select

from outlast_orchestrator.core.errors import StoreError
from outlast_orchestrator.core.events import Event
from outlast_orchestrator.core.ports import Clock, Row, Rows, Term
from outlast_orchestrator.core.types import Attempt, Block, Instance, Job, Progress
from outlast_orchestrator.store import events as event_rows
from outlast_orchestrator.store import jobs as job_rows
from outlast_orchestrator.store.changes import Changes
from outlast_orchestrator.store.engine import connected, open_engine, reading, store_file, writing
from outlast_orchestrator.store.known import Known
from outlast_orchestrator.store.leadership import Leadership, check_term
from outlast_orchestrator.store.migrate import migrate
from outlast_orchestrator.store.tables import StoreRow, TokenRow
from outlast_orchestrator.store.upsert import add_missing

OWNER_BYTES = 8
_ID = 1


def open_store(url: str, clock: Clock) -> SqlStore:
    """Opens the store, makes it if there is none, and brings its tables up to date. Raises StoreError."""
    file = store_file(url)
    if file is not None and not file.parent.is_dir():
        raise StoreError(f"the store {file} cannot be made: there is no folder {file.parent}")
    if file is not None:
        with suppress(OSError):  # the database itself says it in words
            # It holds what jobs' environments hold; what the database puts beside it has the same mode.
            os.close(os.open(file, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    engine = open_engine(url)
    migrate(engine)
    return SqlStore(engine, clock)


class SqlStore:
    """Implements `core.ports.Store`. Safe to use from any thread."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine = engine
        self._clock = clock
        self._leadership = Leadership(engine, clock)
        self._known = Known()
        self._changes = Changes(engine)
        self._rows: tuple[tuple[int, int] | None, Rows] | None = None  # as last read, and when
        self._owner = self._born()

    def _born(self) -> str:
        with reading(self.engine) as session:
            row = session.get(StoreRow, _ID)
            if row is not None:
                return row.owner
        owner = self._clock.token(OWNER_BYTES)
        with writing(self.engine) as session:
            born = {"id": _ID, "owner": owner, "created_at": self._clock.wall_s()}
            add_missing(session, StoreRow, born)  # two controllers may open a new store at once
            return session.exec(select(StoreRow.owner).where(StoreRow.id == _ID)).one()

    def close(self) -> None:
        self._changes.close()
        self.engine.dispose()

    def owner(self) -> str:
        return self._owner

    # leadership

    def lead(self, holder: str, ttl_s: float) -> Term | None:
        return self._leadership.lead(holder, ttl_s)

    def seize(self, holder: str, ttl_s: float) -> Term:
        """Takes the leadership at once: only with proof that no other controller lives on this store."""
        return self._leadership.seize(holder, ttl_s)

    def leads(self, term: Term) -> bool:
        return self._leadership.leads(term)

    def resign(self, term: Term) -> None:
        self._leadership.resign(term)

    # the leader's rows

    def commit(
        self, term: Term, rows: Sequence[Row], events: Sequence[Event], unblock: Sequence[str] = ()
    ) -> None:
        with writing(self.engine) as session:
            check_term(session, term)
            job_rows.save_rows(session, rows)
            job_rows.unblock(session, unblock)
            self._append(session, events)

    def rows(self) -> Rows:
        """The very same as long as nothing was committed, where that is known."""
        count = self._changes.count()  # before they are read: what comes in between is read again
        kept = self._rows
        if kept is not None and count is not None and kept[0] == count:
            return kept[1]
        with connected(self.engine) as connection:
            rows = job_rows.read_rows(connection, self._known)
        self._rows = (count, rows)
        return rows

    def progress(self) -> list[Progress]:
        with connected(self.engine) as connection:
            return job_rows.read_progress(connection, self._known)

    def attempts(self, job: str | None = None) -> list[Attempt]:
        with reading(self.engine) as session:
            return job_rows.read_attempts(session, job)

    def open_attempts(self) -> list[Attempt]:
        with connected(self.engine) as connection:
            return job_rows.read_open_attempts(connection, self._known)

    def instances(self, job: str | None = None, *, gone: bool = True) -> list[Instance]:
        if job is None and not gone:
            with connected(self.engine) as connection:
                return job_rows.read_living_instances(connection, self._known)
        with reading(self.engine) as session:
            return job_rows.read_instances(session, job, gone)

    def blocks(self) -> list[Block]:
        with connected(self.engine) as connection:
            return job_rows.read_blocks(connection, self._known)

    def damaged(self) -> dict[str, str]:
        return self._known.damaged()

    def fact_marks(self) -> dict[tuple[str, str], int]:
        with reading(self.engine) as session:
            return job_rows.read_fact_marks(session)

    def forget_events(self, term: Term, before_at: float) -> int:
        with writing(self.engine) as session:
            check_term(session, term)
            return event_rows.forget(session, before_at)

    # people's rows

    def submit(self, job: Job, event: Event) -> None:
        with writing(self.engine) as session:
            job_rows.add_job(session, job)
            self._append(session, [event])

    def wish(self, job: Job, event: Event) -> None:
        with writing(self.engine) as session:
            job_rows.replace_job(session, job)
            self._append(session, [event])

    def jobs(self) -> list[Job]:
        with connected(self.engine) as connection:
            return job_rows.read_jobs(connection, self._known)

    def job(self, name_or_id: str) -> Job | None:
        with reading(self.engine) as session:
            return job_rows.read_job(session, name_or_id)

    # events and tokens

    def events(self, job: str | None, after: int, limit: int) -> list[Event]:
        with reading(self.engine) as session:
            return event_rows.read(session, job, after, limit)

    def last_events(self, job: str, limit: int) -> list[Event]:
        with reading(self.engine) as session:
            return event_rows.read_last(session, job, limit)

    def add_token(self, name: str, token_hash: str, scope: str, expires_at: float) -> None:
        with writing(self.engine) as session:
            session.merge(TokenRow(token_hash=token_hash, name=name, scope=scope, expires_at=expires_at))

    def token(self, token_hash: str) -> tuple[str, str, float] | None:
        with reading(self.engine) as session:
            row = session.get(TokenRow, token_hash)
            if row is not None:
                return row.name, row.scope, row.expires_at
            return job_rows.node_of_token(session, token_hash) if token_hash else None

    def _append(self, session: Session, events: Sequence[Event]) -> None:
        """Writers of events queue up behind one row, so that a reader who asks for what came after a
        number can never miss a lower one that is committed later (SQLite has one writer anyway)."""
        if not events:
            return
        session.exec(select(StoreRow).where(StoreRow.id == _ID).with_for_update()).first()
        event_rows.append(session, events, self._clock.wall_s())
