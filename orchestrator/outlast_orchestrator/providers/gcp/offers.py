"""What Compute Engine could give: the shipped types in the configured zones, at the shipped prices. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from outlast_orchestrator.core.types import Market, Offer, Want
from outlast_orchestrator.providers.gcp.config import CLOUD, GcpConfig
from outlast_orchestrator.providers.machines import Machine, fitting


def offers_of(machines: Sequence[Machine], want: Want, config: GcpConfig) -> list[Offer]:
    """Types without a known on-demand price are left out: nothing bounds what they cost."""
    if want.clouds and CLOUD not in want.clouds:
        return []
    allowed = [m for m in machines if not config.instance_types or m.instance_type in config.instance_types]
    fit = [machine for machine in fitting(allowed, want.gpus) if machine.on_demand_usd_h]
    places = [
        (name, zone)
        for name, region in config.regions.items()
        if not want.regions or name in want.regions
        for zone in region.zones
    ]
    found = [
        _offer(region, zone, machine, market)
        for machine in fit
        for region, zone in places
        for market in want.markets
    ]
    limit = want.price_max_usd_h
    return [offer for offer in found if limit is None or offer.price_usd_h <= limit]


def _offer(region: str, zone: str, machine: Machine, market: Market) -> Offer:
    on_demand = machine.on_demand_usd_h or 0.0
    spot = min(machine.spot_usd_h or on_demand, on_demand)
    return Offer(
        cloud=CLOUD,
        region=region,
        zone=zone,
        instance_type=machine.instance_type,
        market=market,
        price_usd_h=on_demand if market is Market.ON_DEMAND else spot,
        on_demand_usd_h=on_demand,
        gpu=machine.gpu,
        gpu_count=machine.gpu_count,
    )
