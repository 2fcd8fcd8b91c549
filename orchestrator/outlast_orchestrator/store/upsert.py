"""Rows that are added or replaced without reading them first, in words that SQLite and PostgreSQL share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel


def add_missing(session: Session, table: type[SQLModel], row: dict[str, Any]) -> None:
    """Adds the row unless one with its key is there; waits for whoever is adding it right now."""
    session.connection().execute(_insert(session, table).on_conflict_do_nothing(), row)


def put(session: Session, table: type[SQLModel], rows: Sequence[dict[str, Any]]) -> None:
    """Adds each row, or replaces the one with its key, in this order."""
    if not rows:
        return
    insert = _insert(session, table)
    keys = [column.name for column in table.__table__.primary_key]  # type: ignore[attr-defined]
    others = {name: insert.excluded[name] for name in rows[0] if name not in keys}
    upsert = insert.on_conflict_do_update(index_elements=keys, set_=others)
    session.connection().execute(upsert, rows)


def _insert(session: Session, table: type[SQLModel]) -> postgresql.Insert | sqlite.Insert:
    postgres = session.get_bind().dialect.name == "postgresql"
    return postgresql.insert(table) if postgres else sqlite.insert(table)
