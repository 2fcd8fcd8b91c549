"""A small Azure Resource Manager over a TLS socket: what the provider asks, with faults that a test sets.

Written from the API's reference: machines created by PUT with If-None-Match and long-running operations, what
is made and deleted with them, lists in pages, the activity log. Azure itself has not been compared with it.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import trustme
from azure.core.credentials import AccessToken, AccessTokenInfo
from tests.servers.arm_machines import MACHINES, Group, Refused
from tests.servers.http_service import HANG_UP, Asked, Said, serving

from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.providers.azure.config import AzureConfig, Region
from outlast_orchestrator.providers.azure.provider import AzureProvider

SUBSCRIPTION, GROUP = "00000000-0000-0000-0000-000000000001", "outlast"
BASE = f"/subscriptions/{SUBSCRIPTION}"
IN_GROUP = f"{BASE}/resourceGroups/{GROUP}/providers"
SIZES = frozenset({"Standard_NC24ads_A100_v4", "Standard_NC48ads_A100_v4", "Standard_ND96isr_H100_v5"})
ZONES = {"eastus": ("1", "2"), "westeurope": ("1",)}
SUBNET = f"{IN_GROUP}/Microsoft.Network/virtualNetworks/net/subnets/nodes"
FIREWALL = f"{IN_GROUP}/Microsoft.Network/networkSecurityGroups/nodes"
IDENTITY = f"{IN_GROUP}/Microsoft.ManagedIdentity/userAssignedIdentities/outlast-node"
LOGIN_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAtest"
PAGE = 2
POLL_AGAIN_MS = "50"
_RESOURCE = re.compile(rf"{IN_GROUP}/(?P<kind>Microsoft\.\w+/\w+)(?:/(?P<name>[^/]+))?", re.I)
_OPERATION = re.compile(r"/operations/(?P<name>[^/]+)")
_PRICES = "/api/retail/prices"
_LOG = f"{BASE}/providers/Microsoft.Insights/eventtypes/management/values"
_USAGES = re.compile(rf"{BASE}/providers/Microsoft.Compute/locations/(?P<region>\w+)/usages")


class Clock(SystemClock):
    """The real one, and ahead of it by what a test says: so nobody waits for a minute."""

    ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


class Credential:
    """Takes the place of azure-identity."""

    def get_token(self, *_scopes: str, **_more: Any) -> AccessToken:
        return AccessToken("a token", 4_102_444_800)

    def get_token_info(self, *_scopes: str, **_more: Any) -> AccessTokenInfo:
        return AccessTokenInfo("a token", 4_102_444_800)


@dataclass
class Trouble:
    """What is wrong at the moment; an empty one is a healthy cloud."""

    dry: dict[tuple[str, str, str], tuple[str, str]] = field(default_factory=dict)  # pool → code, message
    fail: tuple[str, str] | None = None  # code, message of every operation: its machine is half made
    nothing_left: bool = False  # … or not made at all
    refusal: tuple[int, str, str] | None = None  # status, code, message, to every call
    refuse: Callable[[Asked], tuple[int, str, str] | None] = lambda _: None  # the same for some calls
    retry_after_s: int | None = None  # with every refusal
    lists: bool = True  # False: the list of machines fails
    lose_replies: int = 0  # so many machines are made, and nobody is told
    slow_operations: int = 0  # so many questions come before the operation is over
    garbled_operations: bool = False  # what is said of one breaks off
    garbled_launches: bool = False  # so does the answer when a machine is made
    silent_log: bool = False  # what happens is not in the log yet


class Arm:
    """One subscription with one resource group."""

    clock_off_s = 0.0

    def __init__(self) -> None:
        self.owner = f"owner-{uuid.uuid4().hex[:8]}"
        self.trouble = Trouble()
        self.calls: list[tuple[str, str]] = []  # method and path
        self.clock = Clock()
        self.group = Group(IN_GROUP)
        self.log: list[dict[str, Any]] = []
        self.spot_quota = 400
        self.prices: list[dict[str, Any]] = []  # rows of the price list
        self.url, self.ca_file = "", ""
        self.boots_alone = True  # False: a test says when a machine has come up, and where
        self.signed: Callable[[str], bool] = lambda _: True  # whether this is somebody's token
        self._operations: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def config(self) -> AzureConfig:
        return AzureConfig(
            SUBSCRIPTION,
            GROUP,
            {name: Region(SUBNET, FIREWALL, zones) for name, zones in ZONES.items()},
            identity=IDENTITY,
            instance_types=tuple(sorted(SIZES)),
            endpoint_url=self.url,
            ca_file=self.ca_file,
            prices_url=self.url,
        )

    def provider(self, config: AzureConfig | None = None) -> AzureProvider:
        return AzureProvider(config or self.config(), self.clock, self.owner, LOGIN_KEY, Credential())

    def answer(self, asked: Asked) -> Said:
        with self._lock:
            self.calls.append((asked.method, asked.path.removeprefix(IN_GROUP)))
            refusal = self.trouble.refusal or self.trouble.refuse(asked)
            if asked.path != _PRICES and not self.signed(asked.headers.get("authorization", "")):
                refusal = 401, "InvalidAuthenticationToken", "The access token is invalid."
            try:
                return self._error(*refusal) if refusal is not None else self._route(asked)
            except Refused as error:
                return self._error(error.status, error.code, str(error))

    def booted(self, machine: str, address: str) -> dict[str, Any] | None:
        """Returns what was asked for; None when it is gone already."""
        with self._lock:
            return self.group.booted(machine, address)

    def custom_data(self) -> dict[str, str]:
        """Of each machine that runs, or is about to."""
        with self._lock:
            there = {name: one["properties"] for name, one in self.group.machines.items()}
        return {
            name: base64.b64decode(inside["osProfile"]["customData"]).decode()
            for name, inside in there.items()
            if inside["provisioningState"] in ("Creating", "Succeeded")
        }

    def evict(self, machine: str) -> None:
        """The market takes a machine, with all that is deleted with it."""
        with self._lock:
            self.group.remove(machine)
            self._note(machine, "evictSpotVM/action", caller="")
            self._note(machine, "delete", caller="Microsoft.Compute", outside=False)

    def begin_eviction(self, machine: str) -> None:
        with self._lock:
            self.group.machines[machine]["properties"]["provisioningState"] = "Deleting"
            self._note(machine, "evictSpotVM/action", caller="", status="Started")

    def forget_ended(self) -> None:
        with self._lock:
            self.log = []

    def pass_time(self, seconds: float) -> None:
        self.clock.ahead_s += seconds

    def _route(self, asked: Asked) -> Said:
        if asked.path == _PRICES:
            assert "authorization" not in asked.headers, "a token for nobody else's ears"
            return self._price_page(asked.query)
        if asked.path == _LOG:
            return _json({"value": [] if self.trouble.silent_log else self.log})
        if _USAGES.fullmatch(asked.path):
            limit = {"name": {"value": "lowPriorityCores"}, "limit": self.spot_quota, "currentValue": 0}
            return _json({"value": [{**limit, "unit": "Count"}]})
        if match := _OPERATION.fullmatch(asked.path):
            return self._operation(match["name"])
        if asked.path in (SUBNET, FIREWALL):
            return _json({"id": asked.path, "name": "nodes"})
        match = _RESOURCE.fullmatch(asked.path)
        if match is None:
            raise Refused(404, "ResourceNotFound", f"The Resource '{asked.path}' was not found")
        kind, name = match["kind"], match["name"]
        if asked.method == "DELETE":
            return self._delete(kind, name)
        if name is None:
            return self._list(kind, asked.query)
        if asked.method == "PUT":
            return self._put(name, asked)
        return _json(self.group.get(kind, name))

    def _put(self, name: str, asked: Asked) -> Said:
        if name in self.group.machines:
            if asked.headers.get("if-none-match") == "*":
                raise Refused(412, "PreconditionFailed", f"The resource '{name}' exists already")
            self.group.machines[name]["tags"] = json.loads(asked.body)["tags"]  # it is a change, then
            return _json(self.group.machines[name])
        body = json.loads(asked.body)
        inside = body["properties"]
        size = inside["hardwareProfile"]["vmSize"]
        if size not in SIZES:
            words = f"The value {size} provided for the VM size is not valid."
            raise Refused(400, "InvalidParameter", words)
        market = "spot" if inside["priority"] == "Spot" else "on-demand"
        for zone in body.get("zones") or ("regional",):
            dry = self.trouble.dry.get((zone, size, market))
            if dry is not None:
                raise Refused(409, *dry)
        machine = self.group.make(name, body, self.trouble.fail, boots_alone=self.boots_alone)
        if self.trouble.nothing_left:
            self.group.remove(name)
        if self.trouble.lose_replies:
            self.trouble.lose_replies -= 1
            return Said(HANG_UP)
        if self.trouble.garbled_launches:
            return _broken_off(201)
        return _json(machine, 201, self._begin(self.trouble.fail, name))

    def _delete(self, kind: str, name: str) -> Said:
        there = self.group.remove(name) if kind == MACHINES else self.group.drop(kind, name)
        if not there:
            return Said(204)
        if kind == MACHINES:
            self._note(name, "delete", caller="somebody@example.com")
        return _json({}, 202, self._begin(None))

    def _begin(self, failure: tuple[str, str] | None, makes: str = "") -> dict[str, str]:
        name = f"operation-{len(self._operations)}"
        over: dict[str, Any] = {"status": "Succeeded"}
        if failure is not None:
            over = {"status": "Failed", "error": {"code": failure[0], "message": failure[1]}}
        self._operations[name] = {"name": name, "makes": makes, **over}
        return {"Azure-AsyncOperation": f"{self.url}/operations/{name}", "retry-after-ms": POLL_AGAIN_MS}

    def _operation(self, name: str) -> Said:
        if self.trouble.garbled_operations:
            return _broken_off(200)
        boots = self.group.is_booting(self._operations[name]["makes"])
        if self.trouble.slow_operations or boots:
            self.trouble.slow_operations -= not boots
            return _json({"name": name, "status": "InProgress"}, 200, {"retry-after-ms": POLL_AGAIN_MS})
        return _json(self._operations[name])

    def _list(self, kind: str, query: Mapping[str, str]) -> Said:
        """In small pages, so that paging is needed always."""
        if kind == MACHINES and not self.trouble.lists:
            raise Refused(500, "InternalServerError", "the list failed")
        found, at = self.group.list(kind), int(query.get("$skiptoken", "0"))
        page: dict[str, Any] = {"value": found[at : at + PAGE]}
        if at + PAGE < len(found):
            page["nextLink"] = f"{self.url}{IN_GROUP}/{kind}?api-version=1&$skiptoken={at + PAGE}"
        return _json(page)

    def _price_page(self, query: Mapping[str, str]) -> Said:
        at = int(query.get("$skip", "0"))
        more = f"{self.url}{_PRICES}?$skip={at + PAGE}" if at + PAGE < len(self.prices) else None
        return _json({"Items": self.prices[at : at + PAGE], "NextPageLink": more})

    def _note(
        self, machine: str, what: str, *, caller: str, outside: bool = True, status: str = "Succeeded"
    ) -> None:
        """As the activity log has it: an id in capitals, and a request where it came from outside."""
        entry: dict[str, Any] = {
            "operationName": {"value": f"Microsoft.Compute/virtualMachines/{what}"},
            "status": {"value": status},
            "resourceId": f"{IN_GROUP}/{MACHINES}/{machine}".upper(),
            "eventTimestamp": datetime.now(timezone.utc).isoformat().replace("+00:00", "9Z"),
            "caller": caller,
        }
        if caller and outside:
            entry["httpRequest"] = {"method": "DELETE", "clientIpAddress": "192.0.2.1"}
        self.log.append(entry)

    def _error(self, status: int, code: str, message: str) -> Said:
        after = self.trouble.retry_after_s
        headers = {} if after is None else {"Retry-After": str(after)}
        return _json({"error": {"code": code, "message": message}}, status, headers)


def _json(value: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Said:
    return Said(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})


def _broken_off(status: int) -> Said:
    return Said(status, b'{"status": "Suc', {"Content-Type": "application/json"})


@contextmanager
def arm(folder: Path) -> Iterator[Arm]:
    authority, service = trustme.CA(), Arm()
    service.ca_file = str(folder / "authority.pem")
    authority.cert_pem.write_to_path(service.ca_file)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with serving(service, tls) as url:
        service.url = url
        yield service
