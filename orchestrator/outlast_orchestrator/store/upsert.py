"""Rows that are added or replaced without reading them first, in words that SQLite and PostgreSQL share."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel

Upsert = postgresql.Insert | sqlite.Insert


def add_missing(session: Session, table: type[SQLModel], row: dict[str, Any]) -> None:
    """Adds the row unless one with its key is there; waits for whoever is adding it right now."""
    insert = _insert(table, session.get_bind().dialect.name)
    session.connection().execute(insert.on_conflict_do_nothing(), row)


def put(session: Session, table: type[SQLModel], rows: Sequence[dict[str, Any]]) -> None:
    """Adds each row, or replaces the one with its key, in this order."""
    if rows:
        session.connection().execute(_upsert(table, session.get_bind().dialect.name), rows)


@functools.cache
def _upsert(table: type[SQLModel], dialect: str) -> Upsert:
    """Made once for each table: that takes longer than running it."""
    insert = _insert(table, dialect)
    columns = table.__table__.columns  # type: ignore[attr-defined]
    keys = [column.name for column in columns if column.primary_key]
    others = {column.name: insert.excluded[column.name] for column in columns if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=keys, set_=others)


def _insert(table: type[SQLModel], dialect: str) -> Upsert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
