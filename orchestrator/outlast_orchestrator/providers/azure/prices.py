"""List prices of now, asked twice a day for each region.

https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.providers.azure.calls import PRICES, Calls
from outlast_orchestrator.providers.azure.config import AzureConfig
from outlast_orchestrator.providers.kept_prices import KeptPrices
from outlast_orchestrator.providers.machines import Machine

LIVE_S = 12 * 3600.0
AGAIN_S = 600.0  # after a try that failed
API = "2023-01-01-preview"
PATH = "/api/retail/prices"
HOURLY = "1 Hour"
# Other products of the same size, and the predecessor of spot machines.
_OTHERS = ("Windows", "CloudServices", "Cloud Services", "Low Priority")


@dataclass(frozen=True)
class Price:
    """In $/h; None: not in the list."""

    on_demand_usd_h: float | None = None
    spot_usd_h: float | None = None


class RetailPrices:
    def __init__(self, calls: Calls, config: AzureConfig, clock: Clock) -> None:
        self._calls = calls
        self._config = config
        self._kept = KeptPrices[Mapping[str, Price]](clock, self._ask, LIVE_S, AGAIN_S)

    def applied(self, region: str, machines: Sequence[Machine]) -> list[Machine]:
        """The machines with the prices of that region. A type without one keeps what was shipped."""
        if not self._config.prices_url:
            return list(machines)
        prices = self._kept.of(region, [one.instance_type for one in machines]) or {}
        return [_priced(one, prices.get(one.instance_type, Price())) for one in machines]

    def _ask(self, region: str, types: list[str]) -> Mapping[str, Price]:
        return prices_in(self._calls.read("prices", PATH, _query(region, types), PRICES))


def prices_in(rows: Iterable[Mapping[str, Any]]) -> dict[str, Price]:
    """By type, from the newest row of each kind."""
    found: dict[str, Price] = {}
    for row in sorted(rows, key=lambda row: str(row.get("effectiveStartDate", ""))):
        named = f"{row.get('productName')} {row.get('skuName')} {row.get('meterName')}"
        price_usd_h = float(row.get("retailPrice") or 0.0)
        other = any(word in named for word in _OTHERS) or row.get("unitOfMeasure") != HOURLY
        if other or price_usd_h <= 0.0:
            continue
        known = found.get(str(row.get("armSkuName")), Price())
        if "Spot" in named:
            known = replace(known, spot_usd_h=price_usd_h)
        else:
            known = replace(known, on_demand_usd_h=price_usd_h)
        found[str(row.get("armSkuName"))] = known
    return found


def _query(region: str, types: Sequence[str]) -> dict[str, str]:
    sizes = " or ".join(f"armSkuName eq '{one}'" for one in types)
    wanted = (
        f"serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and armRegionName eq '{region}'"
    )
    return {"api-version": API, "currencyCode": "USD", "$filter": f"{wanted} and ({sizes})"}


def _priced(machine: Machine, price: Price) -> Machine:
    """A list that has a type on demand alone sells no spot machines of it: they cost what the others do."""
    if price.on_demand_usd_h is None:
        return machine
    return replace(machine, on_demand_usd_h=price.on_demand_usd_h, spot_usd_h=price.spot_usd_h)
