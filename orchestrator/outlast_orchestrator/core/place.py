"""Which offer to take next, and what a refusal blocks for how long. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from outlast_orchestrator.core.errors import (
    Capacity,
    Denied,
    Invalid,
    ProviderError,
    Quota,
    Throttled,
)
from outlast_orchestrator.core.ports import Policy
from outlast_orchestrator.core.types import Block, BlockedBy, Job, Offer

CAPACITY_BLOCK_MAX_S = 3600.0
# Of several pools a cloud takes the one that it thinks lasts longest, not the cheapest: no dearer than so.
TOGETHER_PRICE_MAX = 1.25
TOGETHER_MAX = 16  # the saved request holds them all


@dataclass(frozen=True)
class Placed:
    offer: Offer
    why: str
    others: tuple[Offer, ...] = ()  # that one call may ask for with it


@dataclass(frozen=True)
class NotNow:
    """No offer can be taken. `until` None: for good, a person must change something."""

    why: str
    until: float | None


def place(
    job: Job,
    offers: Sequence[Offer],
    blocks: Sequence[Block],
    policy: Policy,
    now_at: float,
    spent_usd: float,
    *,
    alone: bool = False,
) -> Placed | NotNow:
    """The policy's first offer that is not blocked, or why there is none and until when.

    `alone`: that one only, for a machine that must be where others are.
    """
    wanted = [offer for offer in offers if _fits(job, offer)]
    if not wanted:
        return NotNow(_nothing_fits(job, offers), None)
    ordered = list(policy(job, wanted, spent_usd))
    if not ordered:
        return NotNow(f"the policy {job.policy!r} takes none of the {len(wanted)} offers", None)
    blocking = [(offer, blocking_block(offer, blocks, now_at)) for offer in ordered]
    for offer, block in blocking:
        if block is None:
            passed = sum(1 for _, b in blocking[: ordered.index(offer)] if b is not None)
            before = f", {passed} better ones are blocked" if passed else ""
            others = () if alone else _together(offer, [o for o, blocked in blocking if blocked is None])
            return Placed(offer, f"{offer.pool} at {offer.price_usd_h:.3f} $/h{_or(others)}{before}", others)
    by_block = [block for _, block in blocking if block is not None]
    passing = [block.until for block in by_block if block.until is not None]
    first = by_block[0]
    if not passing:
        return NotNow(f"every offer is blocked for good, e.g. {first.scope}: {first.why}", None)
    return NotNow(f"every offer is blocked for now, e.g. {first.scope}: {first.why}", min(passing))


def _together(first: Offer, free: Sequence[Offer]) -> tuple[Offer, ...]:
    """In the policy's order: the more pools one call names, the sooner and the longer there is a machine."""
    dearest = first.price_usd_h * TOGETHER_PRICE_MAX
    place = (first.cloud, first.region, first.market)
    found = [
        offer
        for offer in free
        if offer != first and offer.together and first.together and offer.price_usd_h <= dearest
        and (offer.cloud, offer.region, offer.market) == place
    ]  # fmt: skip
    return tuple(found[: TOGETHER_MAX - 1])


def _or(others: Sequence[Offer]) -> str:
    if not others:
        return ""
    dearest = max(offer.price_usd_h for offer in others)
    pools = "1 other pool" if len(others) == 1 else f"{len(others)} other pools"
    return f", or {pools} there at up to {dearest:.3f} $/h"


def _fits(job: Job, offer: Offer) -> bool:
    want = job.want
    if want.price_max_usd_h is not None and offer.price_usd_h > want.price_max_usd_h:
        return False
    if want.clouds and offer.cloud not in want.clouds:
        return False
    if want.regions and offer.region not in want.regions:
        return False
    return offer.market in want.markets


def _nothing_fits(job: Job, offers: Sequence[Offer]) -> str:
    ceiling = job.want.price_max_usd_h
    if ceiling is not None and offers and min(o.price_usd_h for o in offers) > ceiling:
        cheapest = min(o.price_usd_h for o in offers)
        return f"the cheapest offer costs {cheapest:.3f} $/h, price_max_usd_h is {ceiling:.3f}"
    wanted = ", ".join(job.want.gpus) or "a machine without GPU"
    return f"no configured cloud offers {wanted} in the wanted regions and market"


def standing(blocks: Iterable[Block], asked_at: float) -> tuple[Block, ...]:
    """A block for good ends with what a person does after it (`asked_at`): who submits, resumes or updates a
    job wants it tried again, for the rights or the settings may have been mended."""
    return tuple(block for block in blocks if block.until is not None or block.since >= asked_at)


def blocking_block(offer: Offer, blocks: Sequence[Block], now_at: float) -> Block | None:
    """The block that covers this offer's pool, if one is in force."""
    pool = offer.pool
    for block in blocks:
        if covers(block.scope, pool) and (block.until is None or block.until > now_at):
            return block
    return None


def covers(scope: str, pool: str) -> bool:
    """Whether a scope's key is a pool's, or a path above it; its parts may hold the shell's wildcards."""
    if "*" not in scope:
        return pool == scope or pool.startswith(scope + "/")
    parts, wanted = pool.split("/"), scope.split("/")
    return len(wanted) <= len(parts) and all(map(fnmatchcase, parts, wanted))


def block_for(error: ProviderError, previous: Block | None, now_at: float) -> Block:
    """What a refusal blocks: each repeat in the same scope doubles a capacity block, up to an hour."""
    by = _blocked_by(error)
    times = previous.times + 1 if previous is not None and previous.by is by else 1
    until: float | None = None
    if error.retry_after_s is not None:
        wait_s = error.retry_after_s
        if by is BlockedBy.CAPACITY:
            wait_s = min(wait_s * 2.0 ** (times - 1), max(CAPACITY_BLOCK_MAX_S, wait_s))
        until = now_at + wait_s
    return Block(error.scope.key, by, until, str(error), since=now_at, times=times)


def _blocked_by(error: ProviderError) -> BlockedBy:
    table = {
        Capacity: BlockedBy.CAPACITY,
        Quota: BlockedBy.QUOTA,
        Denied: BlockedBy.DENIED,
        Invalid: BlockedBy.INVALID,
        Throttled: BlockedBy.THROTTLED,
    }
    return table.get(type(error), BlockedBy.TRANSIENT)
