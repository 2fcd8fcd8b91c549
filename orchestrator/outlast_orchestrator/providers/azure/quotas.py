"""Which quotas of a region are too small for any machine of ours, by the quota's exact name. Pure.

https://learn.microsoft.com/azure/quotas/view-quotas
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from outlast_orchestrator.providers.azure.errors import ASK_FOR_QUOTA, SPOT_QUOTA
from outlast_orchestrator.providers.machines import Machine

SPOT_NAME = "lowPriorityCores"


def too_small(region: str, usages: Sequence[Mapping[str, Any]], machines: Sequence[Machine]) -> list[str]:
    """Of the spot machines of a region, which share one quota whatever their family."""
    needed = min((machine.vcpu for machine in machines), default=0)
    limits = [one.get("limit", 0) for one in usages if (one.get("name") or {}).get("value") == SPOT_NAME]
    return [
        f"{region}: the quota {SPOT_QUOTA} is {limit}, and the smallest machine has {needed}: "
        f"ask for more at {ASK_FOR_QUOTA}"
        for limit in limits
        if limit < needed
    ]
