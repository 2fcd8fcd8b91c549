"""Ends PostgreSQL sessions that stand still inside a transaction, where the server does not see it itself."""

from __future__ import annotations

from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

_LOCK_NOT_AVAILABLE = "55P03"
# The server's own limit (`idle_in_transaction_session_timeout`) counts only between two statements. A
# client that was suspended in the middle of a batch, before its Sync, leaves its session "active" and
# waiting for the client: no limit of the server applies, and its locks are held until it wakes.
# A role may always end its own sessions; this looks at no others.
_END = text(
    """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
      AND xact_start IS NOT NULL AND wait_event = 'ClientRead'
      AND greatest(query_start, state_change)
          < now() - current_setting('idle_in_transaction_session_timeout')::interval
    """
)


def waited_for_a_lock(error: OperationalError) -> bool:
    """Whether PostgreSQL gave up waiting for a lock that another session holds."""
    return getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def end_sleepers(engine: Engine) -> int:
    """Takes back what sleepers had begun, for the next try to find the locks free; returns how many."""
    with engine.connect() as connection:
        return sum(bool(ended) for ended in connection.execute(_END).scalars())
