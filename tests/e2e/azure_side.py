"""Azure as its owner sees it in the console, for what a cloud refuses, loses or takes back."""

from __future__ import annotations

from typing import Any

from tests.servers.arm import FIREWALL, SUBNET, Arm


class AzureSide:
    name, gpu, size = "azure", "A100-80GB", "Standard_NC24ads_A100_v4"
    zones: tuple[str, ...] = ("1", "2", "3")
    options: dict[str, Any]

    def __init__(self, server: Arm) -> None:
        self._server = server
        config = server.config()
        place = {"subnet": SUBNET, "security_group": FIREWALL, "zones": list(self.zones)}
        ends = {"endpoint_url": server.url, "prices_url": server.url, "ca_file": server.ca_file}
        names = {"subscription": config.subscription, "resource_group": config.resource_group}
        self.options = {**names, **ends, "regions": {"eastus": place}, "instance_types": [self.size]}

    def dry(self, zone: str) -> None:
        words = (
            "Allocation failed. We do not have sufficient capacity for the requested VM size in this zone."
        )
        self._server.trouble.dry[zone, self.size, "spot"] = ("ZonalAllocationFailed", words)

    def zero_quota(self) -> tuple[str, int]:
        words = (
            "Operation could not be completed as it results in exceeding approved LowPriorityCores quota. "
            "Additional details - Location: eastus, Current Limit: 0, Current Usage: 0"
        )
        for zone in self.zones:
            self._server.trouble.dry[zone, self.size, "spot"] = ("OperationNotAllowed", words)
        return "Total Regional Spot vCPUs (lowPriorityCores)", 1

    def lose_reply(self) -> None:
        self._server.trouble.lose_replies = 1

    def half_make(self) -> None:
        """All that is asked for from now on: it is there, and never runs."""
        self._server.trouble.fail = ("OSProvisioningTimedOut", "OS Provisioning did not finish in time.")

    def resources(self) -> list[str]:
        """Machines, and what is made with them."""
        group = self._server.group
        return [*group.machines, *(name for _, name in list(group.others))]

    def living(self) -> list[str]:
        return [one["zones"][0] for one in list(self._server.group.machines.values())]

    def made(self) -> int:
        return len(self._server.group.made)

    def silence_the_log(self) -> None:
        self._server.trouble.silent_log = True

    def take_all(self) -> None:
        for name in list(self._server.group.machines):
            self._server.evict(name)
