"""Azure's open price list: what of it is a spot machine's price, and for how long it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.providers.azure_kit import A100
from tests.servers.arm import Arm, arm

from outlast_orchestrator.providers.azure.prices import AGAIN_S, LIVE_S
from outlast_orchestrator.providers.azure.provider import AzureProvider


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Arm]:
    with arm(tmp_path) as found:
        yield found


@pytest.fixture
def provider(server: Arm) -> AzureProvider:
    return server.provider()


def row(price_usd_h: float, sku: str = "NC24ads A100 v4", **more: str) -> dict[str, Any]:
    return {
        "armSkuName": "Standard_NC24ads_A100_v4",
        "retailPrice": price_usd_h,
        "unitOfMeasure": "1 Hour",
        "skuName": sku,
        "meterName": sku,
        "productName": "Virtual Machines NCads A100 v4 Series",
        "effectiveStartDate": "2026-06-01T00:00:00Z",
        **more,
    }


def test_prices_of_now_come_from_the_list_and_are_kept(server: Arm, provider: AzureProvider) -> None:
    server.prices = [
        row(9.0, effectiveStartDate="2025-01-01T00:00:00Z"),
        row(4.0),
        row(1.25, "NC24ads A100 v4 Spot"),
        row(0.1, "NC24ads A100 v4 Low Priority"),
        row(0.2, productName="Virtual Machines NCads A100 v4 Series Windows"),
        row(0.3, unitOfMeasure="1 Month"),
        row(0.0),
    ]
    (offer, *_) = provider.offers(A100)
    assert (offer.price_usd_h, offer.on_demand_usd_h) == (1.25, 4.0)
    asked = len(server.calls)
    provider.offers(A100)
    assert len(server.calls) == asked
    server.prices = [row(5.0)]
    server.pass_time(LIVE_S)
    (offer, *_) = provider.offers(A100)
    assert (offer.price_usd_h, offer.on_demand_usd_h) == (5.0, 5.0), "there is no spot market for it"


def test_without_the_list_the_shipped_prices_have_to_do(server: Arm, provider: AzureProvider) -> None:
    server.trouble.refusal = (503, "ServiceUnavailable", "later")
    (offer, *_) = provider.offers(A100)
    assert 0 < offer.price_usd_h < offer.on_demand_usd_h
    server.trouble.refusal, server.prices = None, [row(4.0)]
    assert provider.offers(A100)[0] == offer
    server.pass_time(AGAIN_S)
    assert provider.offers(A100)[0].on_demand_usd_h == 4.0
    alone = server.provider(replace(server.config(), prices_url=""))
    assert alone.offers(A100)[0] == offer
