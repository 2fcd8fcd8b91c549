"""Which quota of EC2 a machine type counts against, by the quota's exact name and code. Pure.

https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from outlast_orchestrator.core.types import Market


@dataclass(frozen=True)
class VcpuQuota:
    """Of the vCPUs in one region, of all types that `types` matches as the shell would."""

    code: str
    name: str
    market: Market
    types: str


SPOT, ON_DEMAND = Market.SPOT, Market.ON_DEMAND
_STANDARD, _KINDS = "[acdhimrtz][0-9]*", "(A, C, D, H, I, M, R, T, Z)"
# Of p6 the sources do not agree on the spot quota: better no name than a wrong one.
QUOTAS = (
    VcpuQuota("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", SPOT, "p[234]*"),
    VcpuQuota("L-C4BD4855", "All P5 Spot Instance Requests", SPOT, "p5*"),
    VcpuQuota("L-417A185B", "Running On-Demand P instances", ON_DEMAND, "p[2-6]*"),
    VcpuQuota("L-3819A6DF", "All G and VT Spot Instance Requests", SPOT, "[gv]*"),
    VcpuQuota("L-DB2E81BA", "Running On-Demand G and VT instances", ON_DEMAND, "[gv]*"),
    VcpuQuota("L-34B43A08", f"All Standard {_KINDS} Spot Instance Requests", SPOT, _STANDARD),
    VcpuQuota("L-1216C47A", f"Running On-Demand Standard {_KINDS} instances", ON_DEMAND, _STANDARD),
)


def quota_of(instance_type: str, market: Market) -> VcpuQuota | None:
    """None where it is not known."""
    return next((q for q in QUOTAS if q.market is market and fnmatchcase(instance_type, q.types)), None)
