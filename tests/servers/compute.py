"""A small Compute Engine over a real socket: what the provider asks, with faults that a test sets.

Written from the API's reference: insert with request ids and names, operations, the list of all zones with
its warnings, delete, and a market that takes machines. No cloud has been compared with it.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from google.auth.credentials import AnonymousCredentials
from tests.servers.http_service import HANG_UP, Asked, Said, serving

from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.providers.gcp.config import GcpConfig, Region
from outlast_orchestrator.providers.gcp.provider import GcpProvider

PROJECT = "project-1"
NODES = "outlast-node@project-1.iam.gserviceaccount.com"  # the machines' own account
ZONES = {"here-1": ("here-1-a", "here-1-b"), "there-1": ("there-1-a",)}
BASE = f"/compute/v1/projects/{PROJECT}"
KINDS = frozenset({"a2-highgpu-1g", "a2-highgpu-8g", "a3-highgpu-8g", "g2-standard-4", "n1-standard-8"})
_INSTANCES = re.compile(rf"{BASE}/zones/(?P<zone>[^/]+)/instances(?:/(?P<name>[^/]+))?")
_WAIT = re.compile(rf"{BASE}/zones/(?P<zone>[^/]+)/operations/(?P<name>[^/]+)/wait")
_LABEL = re.compile(r"labels\.(\S+)=(\S+)")
_TYPE = re.compile(r'operationType="([^"]+)"')


@dataclass
class Trouble:
    """What is wrong at the moment; an empty one is a healthy cloud."""

    dry: dict[tuple[str, str, str], tuple[str, str]] = field(default_factory=dict)  # pool → code, message
    zones: set[str] = field(default_factory=set)  # that the list of all zones warns of
    refusal: tuple[int, str, str] | None = None  # status, reason, message, to every call
    lose_replies: int = 0  # so many inserts take place, and nobody is told
    no_wish_for_notice: bool = False
    slow_operations: int = 0  # so many waits end before the operation does


class Compute:
    """One project. Each instance is kept as the JSON that the list gives."""

    clock_off_s = 0.0

    def __init__(self) -> None:
        self.owner = f"owner-{uuid.uuid4().hex[:8]}"
        self.trouble = Trouble()
        self.calls: list[tuple[str, str]] = []  # method and path
        self.clock = SystemClock()
        self.credentials = AnonymousCredentials()
        self.signed: Callable[[str], bool] | None = None  # by whoever may ask; None: anybody may
        self.boots_alone = True  # else a fresh machine has no address until it is told that it has booted
        self.say_of_taken_names = "at once"
        self.url = ""
        self.instances: dict[str, dict[str, Any]] = {}  # by name
        self.operations: list[dict[str, Any]] = []
        self._requests: dict[str, dict[str, Any]] = {}  # by request id
        self._numbers = itertools.count(1001)
        self._lock = threading.Lock()

    def config(self) -> GcpConfig:
        regions = {name: Region(zones) for name, zones in ZONES.items()}
        kinds = tuple(sorted(KINDS))
        return GcpConfig(PROJECT, regions, service_account=NODES, endpoint_url=self.url, instance_types=kinds)

    def provider(self) -> GcpProvider:
        return GcpProvider(self.config(), self.clock, self.owner, self.credentials)

    def answer(self, asked: Asked) -> Said:
        with self._lock:
            self.calls.append((asked.method, asked.path.removeprefix(BASE)))
            token = asked.headers.get("authorization", "").removeprefix("Bearer ")
            if self.signed is not None and not self.signed(token):
                return _error(401, "authError", "Request had invalid authentication credentials.")
            if self.trouble.refusal is not None:
                return _error(*self.trouble.refusal)
            return self._route(asked)

    def preempt(self, instance: str) -> None:
        """The market takes a machine: an operation says so, and the machine is deleted."""
        with self._lock:
            one = self._by_id(instance)
            self._operation("compute.instances.preempted", one, status_message="Instance was preempted.")
            del self.instances[one["name"]]

    def begin_preemption(self, instance: str) -> None:
        with self._lock:
            one = self._by_id(instance)
            one["status"] = "STOPPING"
            self._operation("compute.instances.preempted", one, status="RUNNING")

    def booted(self, instance: str, address: str) -> dict[str, Any] | None:
        """The machine that has; None when it was deleted meanwhile."""
        with self._lock:
            one = self._find(instance)
            if one is not None:
                one["status"] = "RUNNING"
                one["networkInterfaces"][0]["accessConfigs"][0]["natIP"] = address
            return one

    def shut_down(self, instance: str) -> None:
        """Its operating system switched it off: it stays there, and its disk, whatever it was made with."""
        with self._lock:
            one = self._find(instance)
            if one is not None:  # else it was deleted meanwhile
                one["status"] = "TERMINATED"
                self._operation("compute.instances.guestTerminate", one)

    def forget_requests(self) -> None:
        """Their ids are remembered for some time only."""
        with self._lock:
            self._requests.clear()

    def end_operations(self) -> None:
        with self._lock:
            for one in self.operations:
                one["status"] = "DONE"

    def forget_ended(self) -> None:
        with self._lock:
            self.operations = [one for one in self.operations if one["operationType"] == "insert"]

    def _route(self, asked: Asked) -> Said:
        if asked.path == f"{BASE}/zones":
            return _json({"items": [{"name": zone} for zones in ZONES.values() for zone in zones]})
        if asked.path == f"{BASE}/aggregated/instances":
            return self._list(asked.query)
        if asked.path == f"{BASE}/aggregated/operations":
            return self._list_operations(asked.query)
        if match := _WAIT.fullmatch(asked.path):
            return self._wait(match["name"])
        match = _INSTANCES.fullmatch(asked.path)
        if match is None:
            return _error(404, "notFound", asked.path)
        if asked.method == "POST":
            return self._insert(match["zone"], asked)
        one = self._find(match["name"])
        if one is None:
            return _error(404, "notFound", f"The resource '{asked.path}' was not found")
        return self._delete(one) if asked.method == "DELETE" else _json(one)

    def _insert(self, zone: str, asked: Asked) -> Said:
        known = self._requests.get(asked.query["requestId"])
        if known is not None:
            return _json(known)
        body = json.loads(asked.body)
        if self.trouble.no_wish_for_notice and "preemptionNoticeDuration" in body["scheduling"]:
            words = "Invalid value for field 'resource.scheduling.preemptionNoticeDuration'"
            return _error(400, "invalid", words)
        kind = body["machineType"].rpartition("/")[2]
        if kind not in KINDS:
            words = f"The resource 'projects/{PROJECT}/zones/{zone}/machineTypes/{kind}' was not found"
            return _error(404, "notFound", words)
        if body["name"] in self.instances:
            words = f"The resource '{body['name']}' already exists"
            if self.say_of_taken_names == "at once":
                return _error(409, "alreadyExists", words)
            error = {"errors": [{"code": "RESOURCE_ALREADY_EXISTS", "message": words}]}
            return _json(self._operation("insert", self.instances[body["name"]], error=error))
        operation = self._make(zone, kind, body)
        self._requests[asked.query["requestId"]] = operation
        if self.trouble.lose_replies:
            self.trouble.lose_replies -= 1
            return Said(HANG_UP)
        return _json({**operation, "status": "RUNNING", "error": {}})

    def _make(self, zone: str, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        spot = body["scheduling"].get("provisioningModel") == "SPOT"
        one = {
            **body,
            "id": str(next(self._numbers)),
            "zone": f"https://compute/{BASE}/zones/{zone}",
            "status": "RUNNING" if self.boots_alone else "STAGING",
            "creationTimestamp": _now(),
        }
        refused = self.trouble.dry.get((zone, kind, "spot" if spot else "on-demand"))
        if refused is not None:
            error = {"errors": [{"code": refused[0], "message": refused[1]}]}
            return self._operation("insert", one, error=error)
        for interface in one["networkInterfaces"]:
            interface["networkIP"] = "10.0.0.7"
        self.instances[one["name"]] = one
        return self._operation("insert", one)

    def _delete(self, one: dict[str, Any]) -> Said:
        del self.instances[one["name"]]
        return _json(self._operation("delete", one, user="somebody@example.com"))

    def _wait(self, name: str) -> Said:
        operation = next(one for one in self.operations if one["name"] == name)
        if self.trouble.slow_operations:
            self.trouble.slow_operations -= 1
            return _json({**operation, "status": "RUNNING", "error": {}})
        return _json(operation)

    def _list(self, query: Mapping[str, str]) -> Said:
        """In pages of one zone each, so that paging is needed always."""
        match = _LABEL.fullmatch(query["filter"])
        assert match is not None, query["filter"]
        ours = [one for one in self.instances.values() if one["labels"].get(match[1]) == match[2]]
        zones = [zone for found in ZONES.values() for zone in found]
        page = int(query.get("pageToken", "0"))
        scoped = {f"zones/{zones[page]}": self._zone(zones[page], ours)}
        more = {"nextPageToken": str(page + 1)} if page + 1 < len(zones) else {}
        return _json({"items": scoped, **more})

    def _zone(self, zone: str, ours: list[dict[str, Any]]) -> dict[str, Any]:
        here = [one for one in ours if one["zone"].endswith(f"/{zone}")]
        if zone in self.trouble.zones:
            return {"warning": {"code": "UNREACHABLE", "message": "the zone can't be reached"}}
        if here:
            return {"instances": here}
        return {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "no results"}}

    def _list_operations(self, query: Mapping[str, str]) -> Said:
        kinds = set(_TYPE.findall(query["filter"]))
        found = [one for one in self.operations if one["operationType"] in kinds]
        return _json({"items": {"zones/all": {"operations": found}} if found else {}})

    def _operation(self, kind: str, one: dict[str, Any], **more: Any) -> dict[str, Any]:
        operation = {
            "name": f"operation-{len(self.operations)}",
            "operationType": kind,
            "status": "DONE",
            "targetId": one["id"],
            "targetLink": f"{one['zone']}/instances/{one['name']}",
            "zone": one["zone"],
            "insertTime": _now(),
            "endTime": _now(),
            "user": "system",
            **{_camel(name): value for name, value in more.items()},
        }
        self.operations.append(operation)
        return operation

    def _find(self, name: str) -> dict[str, Any] | None:
        return self.instances.get(name) or next(
            (one for one in self.instances.values() if one["id"] == name), None
        )

    def _by_id(self, instance: str) -> dict[str, Any]:
        found = self._find(instance)
        assert found is not None
        return found


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _json(value: dict[str, Any]) -> Said:
    return Said(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _error(status: int, reason: str, message: str) -> Said:
    body = {"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}
    return Said(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


@contextmanager
def compute() -> Iterator[Compute]:
    service = Compute()
    with serving(service) as url:
        service.url = url
        yield service
