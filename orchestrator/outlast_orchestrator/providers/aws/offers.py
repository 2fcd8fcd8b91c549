"""What EC2 could give: the shipped types, in the zones with a subnet of ours, at the prices of now. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from outlast_orchestrator.core.types import Market, Offer, Want
from outlast_orchestrator.providers.aws.config import CLOUD
from outlast_orchestrator.providers.machines import Machine, affordable, offer_of

# A spot price this near to the other one means that there is no spot market there at the moment.
NO_MARKET_SHARE = 0.95
Prices = Mapping[tuple[str, str], float]  # spot $/h by (zone, type)


def offers_in(
    region: str, zones: Sequence[str], machines: Sequence[Machine], want: Want, prices: Prices | None
) -> list[Offer]:
    """`prices` None: they could not be had, and the shipped ones have to do, in every zone."""
    pools = [(machine, zone, _spot(zone, machine, prices)) for machine in machines for zone in zones]
    found = [
        replace(offer_of(machine, CLOUD, region, zone, market, spot or 0.0), together=True)
        for machine, zone, spot in pools
        for market in want.markets
        if market is Market.ON_DEMAND or spot is not None
    ]
    return affordable(found, want)


def _spot(zone: str, machine: Machine, prices: Prices | None) -> float | None:
    """None: no spot market for that type there. A zone without a price in the history does not offer it."""
    on_demand = machine.on_demand_usd_h or 0.0
    if prices is None:
        return machine.spot_usd_h or on_demand
    price = prices.get((zone, machine.instance_type))
    return None if price is None or price >= NO_MARKET_SHARE * on_demand else price
