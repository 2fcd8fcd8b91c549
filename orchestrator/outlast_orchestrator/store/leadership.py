"""Who leads: one row, a term number, and a takeover that compares no clocks of two hosts."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine
from sqlmodel import Session, select

from outlast_orchestrator.core.errors import Deposed, StoreError
from outlast_orchestrator.core.ports import Clock, Term
from outlast_orchestrator.store.engine import reading, writing
from outlast_orchestrator.store.tables import LeaderRow
from outlast_orchestrator.store.upsert import add_missing

_ID = 1


@dataclass(frozen=True)
class _Watched:
    """The leader's row as a candidate saw it, and since when it has been like this."""

    number: int
    holder: str
    beat: int
    since_s: float


class Leadership:
    """Takes, renews and gives up the leadership.

    A leader's row changes with every renewal. A candidate takes over only after it has itself watched the
    row unchanged for the holder's time to live, on its own monotonic clock: no host's wall clock matters.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._watched: _Watched | None = None

    def lead(self, holder: str, ttl_s: float) -> Term | None:
        with writing(self._engine) as session:
            row = _made_row(session, ttl_s)
            if row.holder not in (holder, "") and not self._expired(row, ttl_s):
                return None
            return self._take(session, row, holder, ttl_s)

    def seize(self, holder: str, ttl_s: float) -> Term:
        """Takes over at once. For a caller with proof that no other controller lives on this store."""
        with writing(self._engine) as session:
            return self._take(session, _made_row(session, ttl_s), holder, ttl_s)

    def leads(self, term: Term) -> bool:
        """Without a lock: a check before a side effect must not wait for whoever writes."""
        with reading(self._engine) as session:
            row = session.get(LeaderRow, _ID)
            return row is not None and (row.number, row.holder) == (term.number, term.holder)

    def resign(self, term: Term) -> None:
        """Lets the next candidate in at once. Does nothing when the term is over already."""
        with writing(self._engine) as session:
            row = _row(session)
            if row is not None and (row.number, row.holder) == (term.number, term.holder):
                row.holder = ""
                session.add(row)

    def _take(self, session: Session, row: LeaderRow, holder: str, ttl_s: float) -> Term:
        self._watched = None
        if row.holder == holder:
            row.beat, row.ttl_s = row.beat + 1, ttl_s
        else:
            row.number, row.holder, row.beat, row.ttl_s = row.number + 1, holder, 0, ttl_s
        session.add(row)
        return Term(row.number, holder)

    def _expired(self, row: LeaderRow, ttl_s: float) -> bool:
        now_s = self._clock.monotonic_s()
        watched = self._watched
        seen = (row.number, row.holder, row.beat)
        if watched is None or (watched.number, watched.holder, watched.beat) != seen:
            self._watched = _Watched(*seen, now_s)
            return False
        return now_s - watched.since_s >= max(row.ttl_s, ttl_s)


def check_term(session: Session, term: Term) -> None:
    """Inside the transaction that writes. Raises Deposed."""
    row = _row(session)
    if row is None:
        raise StoreError("the store has no leader: nothing may be written")
    if (row.number, row.holder) != (term.number, term.holder):
        raise Deposed(
            f"term {term.number} is over: term {row.number} of {row.holder or 'nobody'} is the newest"
        )


def _made_row(session: Session, ttl_s: float) -> LeaderRow:
    """Locked. Where nobody has ever led, two may find that at once: one makes the row, both wait for it."""
    row = _row(session)
    if row is None:
        add_missing(session, LeaderRow, {"id": _ID, "number": 0, "holder": "", "beat": 0, "ttl_s": ttl_s})
        row = _row(session)
        assert row is not None
    return row


def _row(session: Session) -> LeaderRow | None:
    return session.exec(select(LeaderRow).where(LeaderRow.id == _ID).with_for_update()).first()
