"""The local cloud's memory: an SQLite file of JSON rows, so that a killed cloud finds its world again."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any, TypeVar

from outlast.protocol.codec import from_json, to_json
from outlast_orchestrator.providers.local.config import CloudConfig
from outlast_orchestrator.providers.local.records import Fault, Record, Step, Taken

T = TypeVar("T")


class State:
    """Rows by (kind, key). Every write is durable against the death of this process when it returns."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(folder / "cloud.db", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS row (kind TEXT, key TEXT, value TEXT, PRIMARY KEY (kind, key))"
        )

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def records(self) -> list[Record]:
        return self._all("instance", Record)

    def save_record(self, record: Record) -> None:
        self._put([("instance", record.id, record)])

    def save_launch(self, taken: Taken, records: list[Record]) -> None:
        """The token and the instances made for it, together or not at all."""
        rows: list[tuple[str, str, Any]] = [("instance", record.id, record) for record in records]
        self._put([("token", taken.order.token, taken), *rows])

    def forget_record(self, instance: str) -> None:
        self._delete("instance", instance)

    def taken(self, token: str) -> Taken | None:
        return self._one("token", token, Taken)

    def forget_token(self, token: str) -> None:
        self._delete("token", token)

    def config(self) -> CloudConfig | None:
        return self._one("cloud", "config", CloudConfig)

    def save_config(self, config: CloudConfig) -> None:
        self._put([("cloud", "config", config)])

    def epoch(self, now: float) -> float:
        """When this cloud's market began: the first `now` that was ever given."""
        rows = self._query("SELECT value FROM row WHERE kind = 'cloud' AND key = 'epoch'")
        if not rows:
            self._put([("cloud", "epoch", now)])
            return now
        return float(json.loads(rows[0][0]))

    def api(self, owner: str) -> str:
        """Where the API of that owner is, as host:port; "" when nobody said."""
        rows = self._query("SELECT key, value FROM row WHERE kind = 'api' AND key IN ('', ?)", owner)
        known = {key: str(json.loads(value)) for key, value in rows}
        return known.get(owner, known.get("", ""))

    def save_api(self, owner: str, address: str) -> None:
        """With owner "" for everybody, whatever was said before."""
        if owner:
            self._put([("api", owner, address)])
        else:
            self._replace("api", [address], keys=[""])

    def faults(self) -> list[Fault]:
        return self._all("fault", Fault)

    def save_faults(self, faults: list[Fault]) -> None:
        self._replace("fault", faults)

    def steps(self) -> list[Step]:
        return self._all("step", Step)

    def save_steps(self, steps: list[Step]) -> None:
        self._replace("step", steps)

    def _all(self, kind: str, cls: type[T]) -> list[T]:
        rows = self._query("SELECT value FROM row WHERE kind = ? ORDER BY key", kind)
        return [from_json(cls, json.loads(value)) for (value,) in rows]

    def _one(self, kind: str, key: str, cls: type[T]) -> T | None:
        rows = self._query("SELECT value FROM row WHERE kind = ? AND key = ?", kind, key)
        return from_json(cls, json.loads(rows[0][0])) if rows else None

    def _query(self, sql: str, *values: str) -> list[tuple[str, ...]]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def _put(self, rows: list[tuple[str, str, Any]]) -> None:
        values = [(kind, key, json.dumps(to_json(value))) for kind, key, value in rows]
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO row VALUES (?, ?, ?)", values)
            self._db.execute("COMMIT")

    def _replace(self, kind: str, values: list[Any], keys: list[str] | None = None) -> None:
        named = keys if keys is not None else [f"{number:06d}" for number in range(len(values))]
        rows = [(kind, key, json.dumps(to_json(value))) for key, value in zip(named, values, strict=True)]
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM row WHERE kind = ?", (kind,))
            self._db.executemany("INSERT INTO row VALUES (?, ?, ?)", rows)
            self._db.execute("COMMIT")

    def _delete(self, kind: str, key: str) -> None:
        with self._lock:
            self._db.execute("DELETE FROM row WHERE kind = ? AND key = ?", (kind, key))
