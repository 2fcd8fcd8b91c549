"""Tells cheaply whether anything was committed to the store since it was last asked, where it can."""

from __future__ import annotations

import threading

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from outlast_orchestrator.store.engine import store_file, translated


class Changes:
    """SQLite counts the commits of all others, whichever their process, for a connection that looks; this one
    looks and writes nothing, so to it everybody is another. Safe from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._countable = store_file(engine.url.render_as_string()) is not None
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._opened = 0  # another connection counts from another number

    def count(self) -> tuple[int, int] | None:
        """Never again what it was once something was committed. None: not known. Raises StoreError."""
        if not self._countable:
            return None
        with self._lock, translated(self._engine):
            try:
                count = self._counted()
                return self._opened, count
            except SQLAlchemyError:
                self._drop()
                raise

    def _counted(self) -> int:
        if self._connection is None:
            self._connection, self._opened = self._engine.connect(), self._opened + 1
        count = int(self._connection.exec_driver_sql("PRAGMA data_version").scalar_one())
        self._connection.rollback()  # or the next look would be at the same picture
        return count

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
