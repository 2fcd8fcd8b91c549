"""What EC2 could give: the shipped types, in the zones with a subnet of ours, at the prices of now. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from outlast_orchestrator.core.types import Market, Offer, Want
from outlast_orchestrator.providers.aws.config import CLOUD, AwsConfig
from outlast_orchestrator.providers.machines import Machine, fitting

# A spot price this near to the other one means that there is no spot market there at the moment.
NO_MARKET_SHARE = 0.95
Prices = Mapping[tuple[str, str], float]  # spot $/h by (zone, type)


def wanted(machines: Sequence[Machine], want: Want, config: AwsConfig) -> list[Machine]:
    """Types whose on-demand price is not known have no bound, and are left out."""
    allowed = [m for m in machines if not config.instance_types or m.instance_type in config.instance_types]
    return [machine for machine in fitting(allowed, want.gpus) if machine.on_demand_usd_h]


def offers_in(
    region: str, zones: Sequence[str], machines: Sequence[Machine], want: Want, prices: Prices | None
) -> list[Offer]:
    """`prices` None: they could not be had, and the shipped ones have to do, in every zone."""
    found = [
        offer
        for machine in machines
        for zone in zones
        for market in want.markets
        if (offer := _offer(region, zone, machine, market, prices)) is not None
    ]
    limit = want.price_max_usd_h
    return [offer for offer in found if limit is None or offer.price_usd_h <= limit]


def _offer(region: str, zone: str, machine: Machine, market: Market, prices: Prices | None) -> Offer | None:
    on_demand = machine.on_demand_usd_h or 0.0
    price = on_demand if market is Market.ON_DEMAND else _spot(zone, machine, on_demand, prices)
    if price is None:
        return None
    return Offer(
        cloud=CLOUD,
        region=region,
        zone=zone,
        instance_type=machine.instance_type,
        market=market,
        price_usd_h=price,
        on_demand_usd_h=on_demand,
        gpu=machine.gpu,
        gpu_count=machine.gpu_count,
    )


def _spot(zone: str, machine: Machine, on_demand: float, prices: Prices | None) -> float | None:
    """A zone without a price in the history does not offer that type."""
    price = machine.spot_usd_h or on_demand if prices is None else prices.get((zone, machine.instance_type))
    if price is None or (prices is not None and price >= NO_MARKET_SHARE * on_demand):
        return None
    return min(price, on_demand)
