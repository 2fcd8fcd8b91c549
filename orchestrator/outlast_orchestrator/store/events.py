"""The event log: appended, read in order, and cut off at its old end for jobs that are over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import CursorResult, delete, insert
from sqlmodel import Session, col, select

from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import OVER
from outlast_orchestrator.store.tables import EventRow, ProgressRow

_OVER = [state.value for state in OVER]


def append(session: Session, events: Sequence[Event], now_at: float) -> None:
    """One statement for each, so that their numbers keep the order in which they were said."""
    rows = [_row(event, now_at) for event in events]
    if rows:
        session.connection().execute(insert(EventRow), rows)


def _row(event: Event, now_at: float) -> dict[str, Any]:
    return {
        "at": now_at - event.age_s,
        "job": event.job,
        "attempt": event.attempt,
        "node": event.node,
        "kind": event.kind.value,
        "why": event.why,
        "data": json.dumps(event.data, sort_keys=True, ensure_ascii=False),
    }


def read(session: Session, job: str | None, after: int, limit: int) -> list[Event]:
    query = select(EventRow).where(col(EventRow.seq) > after).order_by(col(EventRow.seq)).limit(limit)
    if job is not None:
        query = query.where(EventRow.job == job)
    return [_event(row) for row in session.exec(query).all()]


def read_last(session: Session, job: str, limit: int) -> list[Event]:
    query = select(EventRow).where(EventRow.job == job).order_by(col(EventRow.seq).desc()).limit(limit)
    return [_event(row) for row in reversed(session.exec(query).all())]


def forget(session: Session, before_at: float) -> int:
    """Drops old events of jobs that are over and of the controller itself; returns how many."""
    over = select(ProgressRow.job).where(col(ProgressRow.state).in_(_OVER))
    old = delete(EventRow).where(
        col(EventRow.at) < before_at, (col(EventRow.job) == "") | col(EventRow.job).in_(over)
    )
    return cast("CursorResult[Any]", session.execute(old)).rowcount


def _event(row: EventRow) -> Event:
    """A kind that only a newer version knows is shown as something to read."""
    known = row.kind in Kind._value2member_map_
    return Event(
        kind=Kind(row.kind) if known else Kind.TELL,
        why=row.why if known else f"{row.kind}: {row.why}",
        job=row.job,
        attempt=row.attempt,
        node=row.node,
        data=json.loads(row.data),
        seq=row.seq or 0,
        at=row.at,
    )
