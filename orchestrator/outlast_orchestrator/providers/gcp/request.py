"""The call of one launch, built from the saved request: the same request always gives the same call. Pure.

https://cloud.google.com/compute/docs/instances/create-use-spot
"""

from __future__ import annotations

from typing import Any

from outlast_orchestrator.core.types import LaunchRequest, Market
from outlast_orchestrator.providers.gcp.config import NETWORK, GcpConfig, Region
from outlast_orchestrator.providers.marks import marks_of, name_of

NOTICE_S = 120
NOTICE_ATTRIBUTE = "outlast-notice-s"  # the agent reads it
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]  # what the account may do bounds it
# The newest machines take no other kind of disk. https://cloud.google.com/compute/docs/disks/hyperdisks
HYPERDISK = ("a4", "a3-ultragpu", "g4")


def instance_of(request: LaunchRequest, config: GcpConfig, region: Region, notice_s: int) -> dict[str, Any]:
    """The resource of `instances.insert`. `notice_s` 0: without a wish for a longer notice."""
    offer = request.offer
    machine, _, accelerator = offer.instance_type.partition("+")
    items = [{"key": NOTICE_ATTRIBUTE, "value": str(notice_s)}] if notice_s else []
    if request.user_data:
        items.append({"key": "startup-script", "value": request.user_data})
    found: dict[str, Any] = {
        "name": name_of(request),
        "machine_type": f"zones/{offer.zone}/machineTypes/{machine}",
        "labels": marks_of(request),
        "scheduling": _scheduling(request, notice_s),
        "disks": [_disk(request, config)],
        "network_interfaces": [_network(config, region)],
        "metadata": {"items": items},
    }
    if accelerator:
        kind = f"zones/{offer.zone}/acceleratorTypes/{accelerator}"
        found["guest_accelerators"] = [{"accelerator_type": kind, "accelerator_count": offer.gpu_count}]
    if config.service_account:
        found["service_accounts"] = [{"email": config.service_account, "scopes": SCOPES}]
    return found


def _scheduling(request: LaunchRequest, notice_s: int) -> dict[str, Any]:
    """`max_run_duration` is the cloud's own dead-man switch: it holds when nothing of ours is left."""
    found: dict[str, Any] = {
        "instance_termination_action": "DELETE",
        "on_host_maintenance": "TERMINATE",
        "automatic_restart": False,
        "max_run_duration": {"seconds": round(request.max_life_s)},
    }
    if request.offer.market is Market.SPOT:
        found["provisioning_model"] = "SPOT"
        if notice_s:
            found["preemption_notice_duration"] = {"seconds": notice_s}
    else:
        found["provisioning_model"] = "STANDARD"
    return found


def _disk(request: LaunchRequest, config: GcpConfig) -> dict[str, Any]:
    new = request.offer.instance_type.startswith(HYPERDISK)
    kind = config.disk_type or ("hyperdisk-balanced" if new else "pd-balanced")
    return {
        "boot": True,
        "auto_delete": True,
        "initialize_params": {
            "source_image": config.image,
            "disk_size_gb": request.disk_gb,
            "disk_type": f"zones/{request.offer.zone}/diskTypes/{kind}",
            "labels": marks_of(request),
        },
    }


def _network(config: GcpConfig, region: Region) -> dict[str, Any]:
    found: dict[str, Any] = {"subnetwork": region.subnetwork} if region.subnetwork else {"network": NETWORK}
    if config.public_address:
        found["access_configs"] = [{"name": "External NAT", "type_": "ONE_TO_ONE_NAT"}]
    return found
