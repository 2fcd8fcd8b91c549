"""The default policy: the markets in the job's order, and in each the cheapest offer first. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from outlast_orchestrator.core.types import Job, Offer


def cheapest(job: Job, offers: Sequence[Offer], spent_usd: float) -> Sequence[Offer]:  # noqa: ARG001
    """All offers that the job allows. Equal prices are ordered by the pool's name: never by chance."""
    want = job.want
    limit = want.price_max_usd_h
    allowed = [o for o in offers if o.market in want.markets and (limit is None or o.price_usd_h <= limit)]
    return sorted(allowed, key=lambda o: (want.markets.index(o.market), o.price_usd_h, o.pool))
