"""The machine types of one cloud, as shipped with the package, and which of them a job could use."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from outlast_orchestrator.core.types import Market, Offer, Want

_WISH = re.compile(r"(?P<name>[^:]+?)(?::(?P<count>\d+))?")


@dataclass(frozen=True)
class Machine:
    """One type. Prices are of one region, as of a day: a start, until the cloud was asked."""

    instance_type: str
    gpu: str
    gpu_count: int
    gpu_mem_gib: float  # of each
    vcpu: int
    mem_gib: float
    local_nvme_gib: float
    on_demand_usd_h: float | None  # None: not known
    spot_usd_h: float | None
    as_of: str
    source: str


def read_machines(package: str, file: str = "machines.csv") -> tuple[Machine, ...]:
    """All rows of the file beside the package's code, in its order."""
    text = files(package).joinpath(file).read_text("utf-8")
    return tuple(_machine(row) for row in csv.DictReader(text.splitlines()))


def fitting(machines: Sequence[Machine], gpus: Sequence[str]) -> list[Machine]:
    """Those with the GPUs of one of the wishes (`H100:8`; a name alone means one); all without wishes."""
    if not gpus:
        return list(machines)
    wished = {wish_of(text) for text in gpus}
    return [machine for machine in machines if (machine.gpu, machine.gpu_count) in wished]


def usable(machines: Sequence[Machine], want: Want, types: Sequence[str]) -> list[Machine]:
    """Those that fit, of the `types` alone where there are any.

    Types whose on-demand price is not known are left out: nothing bounds what they cost.
    """
    allowed = [machine for machine in machines if not types or machine.instance_type in types]
    return [machine for machine in fitting(allowed, want.gpus) if machine.on_demand_usd_h]


def zoned_offers(
    machines: Sequence[Machine],
    want: Want,
    cloud: str,
    zones: Mapping[str, Sequence[str]],
    types: Sequence[str],
) -> list[Offer]:
    """The types in the zones (by region), at the shipped prices: where a spot price is set for a day and
    longer, they are a fair guide."""
    if want.clouds and cloud not in want.clouds:
        return []
    places = [
        (region, zone)
        for region, found in zones.items()
        if not want.regions or region in want.regions
        for zone in found
    ]
    offers = [
        offer_of(machine, cloud, region, zone, market, machine.spot_usd_h or float("inf"))
        for machine in usable(machines, want, types)
        for region, zone in places
        for market in want.markets
    ]
    return affordable(offers, want)


def offer_of(
    machine: Machine, cloud: str, region: str, zone: str, market: Market, spot_usd_h: float
) -> Offer:
    """A spot price above the other one is an error of some table, and nobody pays it."""
    on_demand = machine.on_demand_usd_h or 0.0
    return Offer(
        cloud=cloud,
        region=region,
        zone=zone,
        instance_type=machine.instance_type,
        market=market,
        price_usd_h=on_demand if market is Market.ON_DEMAND else min(spot_usd_h, on_demand),
        on_demand_usd_h=on_demand,
        gpu=machine.gpu,
        gpu_count=machine.gpu_count,
    )


def affordable(offers: Sequence[Offer], want: Want) -> list[Offer]:
    limit = want.price_max_usd_h
    return [offer for offer in offers if limit is None or offer.price_usd_h <= limit]


def wish_of(text: str) -> tuple[str, int]:
    """("H100", 8) of `H100:8`. What the job file let through always matches."""
    match = _WISH.fullmatch(text)
    return (match["name"], int(match["count"] or 1)) if match else (text, 1)


def _machine(row: dict[str, str]) -> Machine:
    return Machine(
        instance_type=row["instance_type"],
        gpu=row["gpu"],
        gpu_count=int(row["gpu_count"]),
        gpu_mem_gib=float(row["gpu_mem_gib"]),
        vcpu=int(row["vcpu"]),
        mem_gib=float(row["mem_gib"]),
        local_nvme_gib=float(row["local_nvme_gib"] or 0),
        on_demand_usd_h=_price(row["od_usd_hour"]),
        spot_usd_h=_price(row["spot_usd_hour_typical"]),
        as_of=row["asof"],
        source=row["source"],
    )


def _price(text: str) -> float | None:
    return float(text) if text else None
