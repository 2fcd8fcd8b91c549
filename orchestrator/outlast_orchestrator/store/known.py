"""What was last read of each table: what did not change is not decoded again, what is damaged is left out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, TypeVar

from outlast_orchestrator.core.errors import StoreError
from outlast_orchestrator.store.bodies import decode

T = TypeVar("T")

Found = Sequence[tuple[str, str, str]]  # (key, job, body)
Decoded = dict[str, tuple[str, Any]]  # key → its body, and what that says


class Known:
    """Holds as much as the tables, and nothing of rows as they once were. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decoded: dict[str, Decoded] = {}
        self._damaged: dict[str, dict[str, str]] = {}  # table → job → in words

    def decoded(self, table: str) -> Decoded:
        with self._lock:
            return self._decoded.get(table, {})

    def note(self, table: str, decoded: Decoded, damaged: dict[str, str]) -> None:
        with self._lock:
            self._decoded[table] = decoded
            self._damaged[table] = damaged

    def damaged(self) -> dict[str, str]:
        with self._lock:
            return {job: words for bad in self._damaged.values() for job, words in bad.items()}


def read(known: Known | None, table: str, cls: type[T], rows: Found) -> list[T]:
    """All rows but the damaged ones, which are noted. Where nobody notes them, they raise StoreError."""
    before = {} if known is None else known.decoded(table)
    decoded: Decoded = {}
    bad: dict[str, str] = {}
    for key, job, body in rows:
        same = before.get(key)
        if same is not None and same[0] == body:
            decoded[key] = same
            continue
        found = _decode(cls, body, bad, job, f"row {key!r} of the table {table}")
        if found is not None:
            decoded[key] = (body, found)
    if known is not None:
        known.note(table, decoded, bad)
    elif bad:
        raise StoreError(next(iter(bad.values())))
    return [one for _, one in decoded.values()]


def _decode(cls: type[T], body: str, bad: dict[str, str], job: str, row: str) -> T | None:
    try:
        return decode(cls, body)
    except StoreError as error:
        bad[job] = f"{row}: {error}"
        return None
