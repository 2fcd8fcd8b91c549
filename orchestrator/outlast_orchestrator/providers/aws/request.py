"""The calls of one launch, built from the saved request: the same request always gives the same call. Pure.

One CreateFleet of type `instant` takes any of the pools and says of each that it could not take why; it
neither retries nor replaces anything by itself.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instant-fleet.html
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from outlast_orchestrator.core.types import LaunchRequest, Market, Offer
from outlast_orchestrator.providers.aws.config import Region

OWNER, JOB, LAUNCH, TOKEN, PRICE = (
    f"outlast-{name}" for name in ("owner", "job", "launch", "token", "price")
)
# Two hops: a trainer in a bridged container reaches the notices as well.
METADATA = {"HttpTokens": "required", "HttpPutResponseHopLimit": 2, "InstanceMetadataTags": "enabled"}
NAME_BYTES = 8


def tags_of(request: LaunchRequest) -> list[dict[str, str]]:
    """They come with the machine: a launch whose reply was lost is found by them."""
    values = {
        "Name": f"outlast-{request.job}",
        OWNER: request.owner,
        JOB: request.job,
        LAUNCH: request.launch_id,
        TOKEN: request.token,
        PRICE: f"{request.offer.price_usd_h:.6f}",
    }
    return [{"Key": key, "Value": value} for key, value in values.items()]


def template_of(request: LaunchRequest, region: Region) -> tuple[str, dict[str, Any]]:
    """Name and data of the launch template: what all launches of the same kind share.

    Its name holds a hash of what is in it, so that a template that is there already is the right one.
    """
    disk = {
        "VolumeSize": request.disk_gb,
        "VolumeType": "gp3",
        "Encrypted": True,
        "DeleteOnTermination": True,
    }
    data: dict[str, Any] = {
        "ImageId": region.image,
        "SecurityGroupIds": list(region.security_groups),
        "BlockDeviceMappings": [{"DeviceName": region.root_device, "Ebs": disk}],
        "MetadataOptions": METADATA,
        "InstanceInitiatedShutdownBehavior": "terminate",  # a machine that powers itself off is gone
        # A fleet tags machines and disks; what else belongs to them is tagged from here.
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": [{"Key": OWNER, "Value": request.owner}]}
            for kind in ("network-interface", "spot-instances-request")
        ],
    }
    if region.instance_profile:
        data["IamInstanceProfile"] = {"Name": region.instance_profile}
    text = json.dumps(data, sort_keys=True).encode()
    name = f"outlast-{request.owner}-{hashlib.sha256(text).hexdigest()[: 2 * NAME_BYTES]}"
    return name, data


def fleet_of(request: LaunchRequest, region: Region, template: str) -> dict[str, Any]:
    """The arguments of `create_fleet`."""
    offer = request.offer
    spot = offer.market is Market.SPOT
    specification: dict[str, Any] = {"LaunchTemplateName": template, "Version": "$Latest"}
    if request.user_data:
        text = base64.b64encode(request.user_data.encode()).decode()
        specification["LaunchTemplateSpecificationUserData"] = text
    call: dict[str, Any] = {
        "ClientToken": request.token,
        "Type": "instant",
        "LaunchTemplateConfigs": [
            {"LaunchTemplateSpecification": specification, "Overrides": _overrides(request.offers, region)}
        ],
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": request.count,
            "DefaultTargetCapacityType": "spot" if spot else "on-demand",
        },
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags_of(request)} for kind in ("instance", "volume", "fleet")
        ],
    }
    together: dict[str, Any] = {"SingleInstanceType": True, "SingleAvailabilityZone": True}
    least = {**together, "MinTargetCapacity": request.min_count} if request.count > 1 else {}
    if spot:
        call["SpotOptions"] = {
            "AllocationStrategy": "price-capacity-optimized",
            "InstanceInterruptionBehavior": "terminate",
            **least,
        }
    else:
        call["OnDemandOptions"] = {"AllocationStrategy": "lowest-price", **least}
    return call


def _overrides(offers: Sequence[Offer], region: Region) -> list[dict[str, str]]:
    """With the zone beside the subnet: so a refusal names it. One whose subnet a person has taken out of the
    settings meanwhile is left out."""
    return [
        {
            "InstanceType": offer.instance_type,
            "SubnetId": region.subnets[offer.zone],
            "AvailabilityZone": offer.zone,
        }
        for offer in offers
        if offer.zone in region.subnets
    ]
