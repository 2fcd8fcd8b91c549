"""What Compute Engine could give: the shipped types in the configured zones, at the shipped prices. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from outlast_orchestrator.core.types import Offer, Want
from outlast_orchestrator.providers.gcp.config import CLOUD, GcpConfig
from outlast_orchestrator.providers.machines import Machine, affordable, offer_of, usable


def offers_of(machines: Sequence[Machine], want: Want, config: GcpConfig) -> list[Offer]:
    """Spot prices change about once a day there: the shipped ones are a fair guide."""
    if want.clouds and CLOUD not in want.clouds:
        return []
    places = [
        (name, zone)
        for name, region in config.regions.items()
        if not want.regions or name in want.regions
        for zone in region.zones
    ]
    found = [
        offer_of(machine, CLOUD, region, zone, market, machine.spot_usd_h or float("inf"))
        for machine in usable(machines, want, config.instance_types)
        for region, zone in places
        for market in want.markets
    ]
    return affordable(found, want)
