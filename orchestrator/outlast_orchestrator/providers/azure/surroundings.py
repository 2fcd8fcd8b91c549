"""What belongs to machines and is listed apart from them: their addresses, and what was left behind.

Three lists for all machines: network interfaces, public addresses and disks of the group.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.core.view import Seen
from outlast_orchestrator.providers import marks
from outlast_orchestrator.providers.azure.calls import COMPUTE, NETWORK, Calls
from outlast_orchestrator.providers.azure.config import AzureConfig
from outlast_orchestrator.providers.azure.listing import left_of, region_of
from outlast_orchestrator.providers.azure.request import ADDRESS, DISK, INTERFACE

EVERY_S = 300.0  # without a machine that waits for its address
# Azure deletes them after their machine, and makes them before it: what is older than that is left over.
LEFT_AFTER_S = 600.0
# By their clients and attributes of the SDKs, in the order in which they can be deleted.
KINDS = {
    "network interface": (NETWORK, "network_interfaces", "list", INTERFACE),
    "public address": (NETWORK, "public_ip_addresses", "list", ADDRESS),
    "disk": (COMPUTE, "disks", "list_by_resource_group", DISK),
}


@dataclass
class _Left:
    """What of one machine is not attached to anything. `there`: kind and name."""

    since_s: float
    region: str
    tags: dict[str, str]
    there: set[tuple[str, str]] = field(default_factory=set)


class Surroundings:
    """Thread-safe."""

    def __init__(self, calls: Calls, config: AzureConfig, clock: Clock, owner: str) -> None:
        self._calls = calls
        self._config = config
        self._clock = clock
        self._owner = owner
        self._lock = threading.Lock()
        self._read_s = float("-inf")
        self._addresses: dict[str, str] = {}  # by machine
        self._left: dict[str, _Left] = {}  # by machine

    def look(self, machines: Collection[str]) -> None:
        """Reads when it is time, or when one of these has no address yet. Raises ProviderError."""
        now_s = self._clock.monotonic_s()
        if now_s - self._read_s < EVERY_S and self._addresses.keys() >= set(machines):
            return
        found = {kind: self._list(kind) for kind in KINDS}
        addresses = self._addresses_in(found["network interface"], found["public address"])
        with self._lock:
            self._addresses = addresses
            self._left = self._left_in(found, now_s)
            self._read_s = now_s

    def address(self, machine: str) -> str:
        with self._lock:
            return self._addresses.get(machine, "")

    def left_over(self, machines: Collection[str]) -> list[Seen]:
        """Of all but these, and for so long that nobody will come for it."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            return [
                left_of(name, left.tags, left.region, {kind for kind, _ in left.there}, self._owner)
                for name, left in self._left.items()
                if name not in machines and now_s - left.since_s >= LEFT_AFTER_S
            ]

    def delete(self, machine: str) -> None:
        """What is known to be left of it. Raises ProviderError; whoever wants it gone repeats it."""
        with self._lock:
            left = self._left.get(machine)
            there = sorted(left.there, key=lambda one: list(KINDS).index(one[0])) if left else []
            if there:
                self._read_s = float("-inf")  # the next look says whether it worked
        for kind, name in there:
            client, group, _, _ = KINDS[kind]
            self._calls.ask("terminate", _deletion(group, self._config.resource_group, name), client)

    def _list(self, kind: str) -> list[dict[str, Any]]:
        client, group, method, _ = KINDS[kind]
        where = self._config.resource_group
        return self._calls.all(
            "surroundings", lambda sdk: getattr(getattr(sdk, group), method)(where), client
        )

    def _addresses_in(
        self, interfaces: list[dict[str, Any]], publics: list[dict[str, Any]]
    ) -> dict[str, str]:
        """Where machines get a public address, that one or none: the other one may lead nowhere from here."""
        public = {_tail(one): one.get("properties", {}).get("ipAddress", "") for one in publics}
        found = {}
        for one in interfaces:
            inside = one.get("properties", {})
            machine = _tail(inside.get("virtualMachine") or {})
            for way in inside.get("ipConfigurations", ()):
                own = way.get("properties", {})
                address = own.get("privateIPAddress", "")
                if self._config.public_address:
                    address = public.get(_tail(own.get("publicIPAddress") or {}), "")
                if machine and address:
                    found[machine] = str(address)
        return found

    def _left_in(self, found: Mapping[str, list[dict[str, Any]]], now_s: float) -> dict[str, _Left]:
        left: dict[str, _Left] = {}
        for kind, resources in found.items():
            for one in resources:
                tags = dict(one.get("tags") or {})
                machine = self._machine_of(one["name"], tags, KINDS[kind][3])
                if not machine or _is_attached(one):
                    continue
                before = self._left.get(machine)
                since_s = now_s if before is None else before.since_s
                known = left.setdefault(machine, _Left(since_s, region_of(one), tags))
                known.there.add((kind, one["name"]))
        return left

    def _machine_of(self, name: str, tags: Mapping[str, str], ending: str) -> str:
        """The name of the machine that it was made for; "" when it is not ours."""
        if tags.get(marks.OWNER, self._owner) != self._owner:
            return ""
        machine = name.lower().removesuffix(ending)
        return machine if marks.launch_of(machine, self._owner) else ""


def _deletion(group: str, where: str, name: str) -> Any:
    return lambda sdk: getattr(sdk, group).begin_delete(where, name, polling=False)


def _is_attached(one: Mapping[str, Any]) -> bool:
    """An interface to a machine, an address to an interface, a disk to a machine."""
    inside = one.get("properties", {})
    return bool(one.get("managedBy") or inside.get("virtualMachine") or inside.get("ipConfiguration"))


def _tail(resource: Mapping[str, Any]) -> str:
    return str(resource.get("id", "")).rpartition("/")[2].lower()
