"""The metadata service of an Azure machine: who it is, Scheduled Events, and tokens of its identity."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

from tests.servers.azure_identity import TOKEN_PATH
from tests.servers.http_service import Asked, Said, now_of

__all__ = ["COMPUTE_PATH", "EVENTS_PATH", "TOKEN_PATH", "AzureMetadata"]
COMPUTE_PATH, EVENTS_PATH = "/metadata/instance/compute", "/metadata/scheduledevents"


class AzureMetadata:
    """`status`: of all answers. `gives`: a token for a resource; None: the machine has no identity."""

    def __init__(self, name: str, gives: Callable[[str], Said] | None = None) -> None:
        self.clock_off_s = 0.0
        self.compute: dict[str, Any] = {"name": name, "priority": "Spot", "evictionPolicy": "Delete"}
        self.events: list[dict[str, Any]] = []
        self.status = 200
        self.asked: list[Asked] = []
        self.started: list[str] = []  # events that were acknowledged: Azure waits for nothing more
        self._gives = gives
        self._incarnation = 1

    def answer(self, asked: Asked) -> Said:
        self.asked.append(asked)
        if asked.headers.get("metadata") != "true" or "api-version" not in asked.query:
            return Said(400)
        if self.status != 200:
            return Said(self.status)
        if asked.path == TOKEN_PATH:
            return self._token(asked)
        if asked.path == EVENTS_PATH and asked.method == "POST":
            self.started += [one["EventId"] for one in json.loads(asked.body)["StartRequests"]]
            return Said()
        bodies = {
            COMPUTE_PATH: self.compute,
            EVENTS_PATH: {"DocumentIncarnation": self._incarnation, "Events": self.events},
        }
        found = bodies.get(asked.path)
        return Said(404) if found is None else Said(200, json.dumps(found).encode())

    def announce(self, kind: str, in_s: float | None, *names: str) -> None:
        """For machines of these names, or for this one. `in_s` None: it has started."""
        at = "" if in_s is None else format_datetime(now_of(self) + timedelta(seconds=in_s), usegmt=True)
        event = {
            "EventId": f"event-{len(self.events)}",
            "EventType": kind,
            "EventStatus": "Scheduled" if in_s is not None else "Started",
            "ResourceType": "VirtualMachine",
            "Resources": list(names or (self.compute["name"],)),
            "NotBefore": at,
            "EventSource": "Platform",
        }
        self.events.append(event)
        self._incarnation += 1

    def _token(self, asked: Asked) -> Said:
        if self._gives is None:
            return Said(400, b'{"error": "invalid_request", "error_description": "Identity not found"}')
        return self._gives(asked.query["resource"])
