"""What is in the resource group of the small Resource Manager: machines, and what is made with them."""

from __future__ import annotations

import itertools
from datetime import datetime, timezone
from typing import Any

MACHINES = "Microsoft.Compute/virtualMachines"
DISKS = "Microsoft.Compute/disks"
INTERFACES = "Microsoft.Network/networkInterfaces"
ADDRESSES = "Microsoft.Network/publicIPAddresses"


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Group:
    """`kept`: kinds that stay when their machine is deleted. `unlisted`: machines that the list forgets."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.machines: dict[str, dict[str, Any]] = {}
        self.others: dict[tuple[str, str], dict[str, Any]] = {}  # by kind and name
        self.kept: set[str] = set()
        self.unlisted: set[str] = set()
        self.made: list[str] = []  # names of all machines that there ever were
        self._numbers = itertools.count(5)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found = self.machines.get(name) if kind == MACHINES else self.others.get((kind, name))
        if found is None:
            raise Refused(404, "ResourceNotFound", f"The Resource '{kind}/{name}' was not found")
        return found

    def list(self, kind: str) -> list[dict[str, Any]]:
        if kind == MACHINES:
            return [one for name, one in self.machines.items() if name not in self.unlisted]
        return [one for (other, _), one in self.others.items() if other == kind]

    def make(
        self, name: str, body: dict[str, Any], failure: tuple[str, str] | None, *, boots_alone: bool = True
    ) -> dict[str, Any]:
        """With a failure it is half made: all of its resources are there, and it never runs."""
        code = f"ProvisioningState/failed/{failure[0]}" if failure else "ProvisioningState/succeeded"
        statuses = [{"code": code, "level": "Info", "message": failure[1] if failure else ""}]
        machine = {
            **body,
            "id": f"{self._path}/{MACHINES}/{name}",
            "name": name,
            "type": MACHINES,
            "properties": {
                **body["properties"],
                "provisioningState": "Failed" if failure else "Succeeded" if boots_alone else "Creating",
                "timeCreated": datetime.now(timezone.utc).isoformat(),
                "instanceView": {"statuses": statuses},
            },
        }
        self.machines[name] = machine
        self.made.append(name)
        self._surround(machine)
        for (kind, _), one in self.others.items():
            if kind == ADDRESSES and one["of"] == name and not boots_alone:
                del one["properties"]["ipAddress"]  # known only when it has come up
        return machine

    def is_booting(self, name: str) -> bool:
        return name in self.machines and self.machines[name]["properties"]["provisioningState"] == "Creating"

    def booted(self, name: str, address: str) -> dict[str, Any] | None:
        """It is up, at this address; None when it is there no longer."""
        machine = self.machines.get(name)
        for (kind, _), one in self.others.items():
            if machine is not None and kind == ADDRESSES and one["of"] == name:
                one["properties"]["ipAddress"] = address
        if machine is not None:
            machine["properties"]["provisioningState"] = "Succeeded"
        return machine

    def remove(self, name: str) -> bool:
        machine = self.machines.pop(name, None)
        if machine is None:
            return False
        for (kind, other), one in list(self.others.items()):
            if one["of"] != name:
                continue
            if kind in self.kept:
                self._detach(one)
            else:
                del self.others[kind, other]
        return True

    def drop(self, kind: str, name: str) -> bool:
        """Deletes one that belongs to a machine, as long as nothing holds it."""
        one = self.others.get((kind, name))
        if one is None:
            return False
        inside = one["properties"]
        if one.get("managedBy") or inside.get("virtualMachine") or inside.get("ipConfiguration"):
            raise Refused(409, "InUse", f"{name} is in use")
        for other in self.others.values():
            if other["properties"].get("ipConfiguration", {}).get("id", "").startswith(one["id"]):
                del other["properties"]["ipConfiguration"]
        del self.others[kind, name]
        return True

    def _surround(self, machine: dict[str, Any]) -> None:
        network = machine["properties"]["networkProfile"]["networkInterfaceConfigurations"][0]
        inside = network["properties"]["ipConfigurations"][0]["properties"]
        number = next(self._numbers)
        wished = inside.get("publicIPAddressConfiguration")
        way: dict[str, Any] = {"privateIPAddress": f"10.0.0.{number}", "subnet": inside["subnet"]}
        interface = self._add(INTERFACES, network["name"], machine, network["tags"])
        if wished:
            public = self._add(ADDRESSES, wished["name"], machine, wished["tags"])
            public["properties"] = {
                "ipAddress": f"203.0.113.{number}",
                "ipConfiguration": {"id": f"{interface['id']}/ipConfigurations/first"},
            }
            way["publicIPAddress"] = {"id": public["id"]}
        interface["properties"] = {
            "virtualMachine": {"id": machine["id"]},
            "ipConfigurations": [{"name": "first", "properties": way}],
        }
        disk = self._add(DISKS, machine["properties"]["storageProfile"]["osDisk"]["name"], machine, {})
        disk["managedBy"] = machine["id"]

    def _add(self, kind: str, name: str, machine: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
        one = {
            "id": f"{self._path}/{kind}/{name}",
            "name": name,
            "location": machine["location"],
            "tags": tags,
            "properties": {},
            "of": machine["name"],
        }
        self.others[kind, name] = one
        return one

    def _detach(self, one: dict[str, Any]) -> None:
        one.pop("managedBy", None)
        one["properties"].pop("virtualMachine", None)
