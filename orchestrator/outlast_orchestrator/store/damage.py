"""Rows that can't be read: left out of what a tick gets to see, and told by the job that they belong to."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TypeVar

from outlast_orchestrator.core.errors import StoreError
from outlast_orchestrator.store.bodies import decode

T = TypeVar("T")

Found = Sequence[tuple[str, str, str]]  # (key, job, body)


class Damage:
    """What the last reading of each table found. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_table: dict[str, dict[str, str]] = {}  # table → job → in words

    def note(self, table: str, bad: dict[str, str]) -> None:
        with self._lock:
            self._by_table[table] = bad

    def by_job(self) -> dict[str, str]:
        with self._lock:
            return {job: words for bad in self._by_table.values() for job, words in bad.items()}


def read(damage: Damage | None, table: str, cls: type[T], rows: Found) -> list[T]:
    """All rows but the damaged ones, which are noted. Where nobody notes them, they raise StoreError."""
    good: list[T] = []
    bad: dict[str, str] = {}
    for key, job, body in rows:
        found = _read(cls, body, bad, job, f"row {key!r} of the table {table}")
        if found is not None:
            good.append(found)
    if damage is not None:
        damage.note(table, bad)
    elif bad:
        raise StoreError(next(iter(bad.values())))
    return good


def _read(cls: type[T], body: str, bad: dict[str, str], job: str, row: str) -> T | None:
    try:
        return decode(cls, body)
    except StoreError as error:
        bad[job] = f"{row}: {error}"
        return None
