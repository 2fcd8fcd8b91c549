"""The metadata server of Compute Engine: values by their paths, and readings that wait for a change."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from tests.servers.http_service import Asked, Said

BASE = "/computeMetadata/v1/instance/"
PREEMPTED, MAINTENANCE = BASE + "preempted", BASE + "maintenance-event"
TOKEN = BASE + "service-accounts/default/token"
FLAVOR = {"Metadata-Flavor": "Google"}


class GceMetadata:
    """A reading that waits is answered when the value changes, or in the end. `status`: of all answers."""

    clock_off_s = 0.0

    def __init__(self, more: Mapping[str, str] | None = None) -> None:
        """`more` values than those that every machine has."""
        self.values = {PREEMPTED: "FALSE", MAINTENANCE: "NONE", **(more or {})}
        self.status = 200
        self.asked: list[Asked] = []
        self.waiting = threading.Event()
        self._changed = threading.Condition()

    def answer(self, asked: Asked) -> Said:
        self.asked.append(asked)
        if asked.headers.get("metadata-flavor") != "Google":
            return Said(403)
        if self.status != 200:
            return Said(self.status, b"busy")
        if asked.query.get("wait_for_change") == "true":
            self._wait(asked)
        value = self.values.get(asked.path)
        if value is None:
            return Said(404)
        return Said(200, value.encode(), {**FLAVOR, "ETag": self._etag(asked.path)})

    def set(self, path: str, value: str) -> None:
        with self._changed:
            self.values[path] = value
            self._changed.notify_all()

    def _wait(self, asked: Asked) -> None:
        with self._changed:
            self.waiting.set()
            self._changed.wait_for(
                lambda: self._etag(asked.path) != asked.query["last_etag"], float(asked.query["timeout_sec"])
            )

    def _etag(self, path: str) -> str:
        return f"{abs(hash(self.values.get(path))):x}"
