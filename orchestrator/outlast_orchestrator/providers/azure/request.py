"""The body of one launch, built from the saved request: the same request always gives the same body. Pure.

Network interface, address and disk are made with the machine and deleted with it: nothing is made before.
https://learn.microsoft.com/rest/api/compute/virtual-machines/create-or-update
https://learn.microsoft.com/azure/virtual-machines/spot-vms
"""

from __future__ import annotations

import base64
from typing import Any

from outlast_orchestrator.core.types import LaunchRequest, Market
from outlast_orchestrator.providers.azure.config import REGIONAL, AzureConfig, Region
from outlast_orchestrator.providers.marks import marks_of, name_of

NETWORK_API = "2022-11-01"  # by which Azure itself makes the interface
ANY_PRICE = -1  # up to the price on demand, and never evicted for its price
WITH_THE_MACHINE = {"deleteOption": "Delete"}
# What belongs to a machine is named after it, so that what is left of one can be found.
INTERFACE, ADDRESS, DISK = "-nic", "-ip", "-os"


def machine_of(request: LaunchRequest, config: AzureConfig, region: Region, login_key: str) -> dict[str, Any]:
    """`login_key`: a line of `authorized_keys`, for the user that Azure insists on. There is no password."""
    offer = request.offer
    properties: dict[str, Any] = {
        "hardwareProfile": {"vmSize": offer.instance_type},
        "storageProfile": {"imageReference": _image(config.image), "osDisk": _disk(request, config)},
        "osProfile": _system(request, config, login_key),
        "networkProfile": {
            "networkApiVersion": NETWORK_API,
            "networkInterfaceConfigurations": [_interface(request, config, region)],
        },
        "priority": "Regular",
    }
    if offer.market is Market.SPOT:
        properties |= {
            "priority": "Spot",
            "evictionPolicy": "Delete",  # a deallocated machine would keep its disk and its quota
            "billingProfile": {"maxPrice": ANY_PRICE},
        }
    if config.security_type:
        properties["securityProfile"] = _security(config.security_type)
    body: dict[str, Any] = {"location": offer.region, "tags": marks_of(request), "properties": properties}
    if offer.zone != REGIONAL:
        body["zones"] = [offer.zone]
    if config.identity:
        body["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {config.identity: {}}}
    return body


def _image(text: str) -> dict[str, str]:
    if text.startswith("/"):
        return {"id": text}
    return dict(zip(("publisher", "offer", "sku", "version"), text.split(":"), strict=False))


def _disk(request: LaunchRequest, config: AzureConfig) -> dict[str, Any]:
    return {
        "name": name_of(request) + DISK,
        "createOption": "FromImage",
        "diskSizeGB": request.disk_gb,
        "managedDisk": {"storageAccountType": config.disk_type},
        **WITH_THE_MACHINE,
    }


def _system(request: LaunchRequest, config: AzureConfig, login_key: str) -> dict[str, Any]:
    path = f"/home/{config.admin_user}/.ssh/authorized_keys"
    found: dict[str, Any] = {
        "computerName": name_of(request),
        "adminUsername": config.admin_user,
        "linuxConfiguration": {
            "disablePasswordAuthentication": True,
            "ssh": {"publicKeys": [{"path": path, "keyData": login_key}]},
        },
    }
    if request.user_data:
        found["customData"] = base64.b64encode(request.user_data.encode()).decode()
    return found


def _interface(request: LaunchRequest, config: AzureConfig, region: Region) -> dict[str, Any]:
    name, marks = name_of(request), marks_of(request)
    inside: dict[str, Any] = {"primary": True, "subnet": {"id": region.subnet}}
    if config.public_address:
        inside["publicIPAddressConfiguration"] = {
            "name": name + ADDRESS,
            "sku": {"name": "Standard"},
            "tags": marks,
            "properties": {"publicIPAllocationMethod": "Static", **WITH_THE_MACHINE},
        }
    properties: dict[str, Any] = {
        "primary": True,
        "ipConfigurations": [{"name": "first", "properties": inside}],
        **WITH_THE_MACHINE,
    }
    if region.security_group:
        properties["networkSecurityGroup"] = {"id": region.security_group}
    return {"name": name + INTERFACE, "tags": marks, "properties": properties}


def _security(kind: str) -> dict[str, Any]:
    """Secure boot would keep NVIDIA's driver out, where it is not signed for it."""
    if kind == "TrustedLaunch":
        return {"securityType": kind, "uefiSettings": {"secureBootEnabled": False, "vTpmEnabled": True}}
    return {"securityType": kind}
