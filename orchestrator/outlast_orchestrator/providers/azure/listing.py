"""Reads what Azure lists: machines that are there, and by the activity log the ends of the others. Pure.

A machine that is evicted or deleted is out of the list at once. Who did it stands in the activity log,
minutes later: so a machine may well be proven gone before its end is explained.
https://learn.microsoft.com/azure/azure-monitor/platform/activity-log-schema
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from outlast_orchestrator.core.types import Market
from outlast_orchestrator.core.view import CloudState, EndProof, Seen
from outlast_orchestrator.providers import marks
from outlast_orchestrator.providers.azure.config import CLOUD, REGIONAL

# Of what is left over without tags. No job is called so: nothing runs there that its end could harm.
NO_JOB = "unknown"
FAILED = frozenset({"Failed", "Canceled"})
# Of the resource, not of its power. One that switched itself off is listed as before, and still paid for:
# its agent's silence tells. A failed one may be there half or whole; it is nobody's to use, and the sweep's.
STATES = {
    "Creating": CloudState.PENDING,
    "Failed": CloudState.PENDING,
    "Canceled": CloudState.PENDING,
    "Deleting": CloudState.STOPPING,
}
_MACHINE = "/providers/microsoft.compute/virtualmachines/"
EVICTED = "microsoft.compute/virtualmachines/evictspotvm/action"
DELETED = "microsoft.compute/virtualmachines/delete"
DONE = frozenset({"succeeded"})
BEGUN = frozenset({"started", "accepted", "succeeded", "active"})
# What the market did comes before the delete that follows from it.
_STRENGTH = (EndProof.INTERRUPTED, EndProof.OURS_OR_PERSON, EndProof.UNKNOWN)


@dataclass(frozen=True)
class End:
    """An entry of the log that ends a machine, or begins to."""

    name: str
    proof: EndProof
    text: str
    at: float
    done: bool


def end_of(entry: Mapping[str, Any]) -> End | None:
    """None for an entry that ends no machine, or of something that failed."""
    what, status = _value(entry, "operationName"), _value(entry, "status")
    path, at = str(entry.get("resourceId", "")).lower(), time_of(entry.get("eventTimestamp"))
    if what not in (EVICTED, DELETED) or status not in BEGUN or at is None or _MACHINE not in path:
        return None
    caller = str(entry.get("caller") or "")
    # Azure itself deletes what it evicts: only a call that came from outside is somebody's wish.
    wished = bool(caller) and bool(entry.get("httpRequest"))
    if what == EVICTED:
        proof = EndProof.INTERRUPTED
    else:
        proof = EndProof.OURS_OR_PERSON if wished else EndProof.UNKNOWN
    by = f" by {caller}" if caller else ""
    text = f"{what.partition('/')[2]}{by}, {status}"
    return End(path.rpartition("/")[2], proof, text, at, status in DONE)


def is_ours(one: Mapping[str, Any], owner: str) -> bool:
    """By its name, which nobody can change: a person may have changed its tags."""
    named = (one.get("tags") or {}).get(marks.OWNER, owner)
    return named == owner and bool(marks.launch_of(one["name"].lower(), owner))


def seen_of(one: Mapping[str, Any], ends: Sequence[End], address: str, owner: str) -> Seen:
    """A machine that is there; `ends`: those of its name."""
    tags, inside, name = one.get("tags") or {}, one.get("properties") or {}, one["name"].lower()
    started_at = time_of(inside.get("timeCreated"))
    own = [end for end in ends if started_at is None or end.at >= started_at]
    return Seen(
        id=name,
        launch_id=tags.get(marks.LAUNCH) or marks.launch_of(name, owner),
        token=tags.get(marks.TOKEN, ""),
        job=tags.get(marks.JOB, ""),
        owner=owner,
        cloud=CLOUD,
        region=region_of(one),
        zone=next(iter(one.get("zones") or ()), REGIONAL),
        instance_type=(inside.get("hardwareProfile") or {}).get("vmSize", ""),
        market=Market.SPOT if inside.get("priority") == "Spot" else Market.ON_DEMAND,
        state=STATES.get(inside.get("provisioningState", ""), CloudState.RUNNING),
        price_usd_h=marks.price_of(tags.get(marks.PRICE, "")),
        started_at=started_at,
        interrupting=any(end.proof is EndProof.INTERRUPTED for end in own),
        address=address,
    )


def gone_of(ends: Sequence[End], owner: str, region: str) -> Seen:
    """A machine that is there no longer, by all entries of its end, with the strongest proof. Job, type and
    price are with the record that it is for."""
    best = min(ends, key=lambda end: (_STRENGTH.index(end.proof), not end.done, -end.at))
    return Seen(
        id=best.name,
        launch_id=marks.launch_of(best.name, owner),
        token="",
        job="",
        owner=owner,
        cloud=CLOUD,
        region=region,
        zone="",
        instance_type="",
        market=Market.SPOT,
        state=CloudState.ENDED,
        price_usd_h=0.0,
        ended_at=best.at,
        end=best.proof,
        end_text=best.text,
    )


def left_of(name: str, tags: Mapping[str, str], region: str, kinds: Collection[str], owner: str) -> Seen:
    """What remains of a machine that is not there: paid for, so the sweep has to find it."""
    return Seen(
        id=name,
        launch_id=tags.get(marks.LAUNCH) or marks.launch_of(name, owner),
        token=tags.get(marks.TOKEN, ""),
        job=tags.get(marks.JOB) or NO_JOB,
        owner=owner,
        cloud=CLOUD,
        region=region,
        zone="",
        instance_type=f"left over: {', '.join(sorted(kinds))}",
        market=Market.ON_DEMAND,
        state=CloudState.PENDING,
        price_usd_h=0.0,
    )


def region_of(one: Mapping[str, Any]) -> str:
    """Azure shows `East US` for `eastus` in places."""
    return str(one.get("location", "")).replace(" ", "").lower()


def time_of(text: Any) -> float | None:
    """ISO 8601, with up to seven digits after the second, which Python before 3.11 can't read."""
    whole, dot, rest = str(text or "").replace("Z", "+00:00").partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    try:
        return datetime.fromisoformat(
            whole + (f".{digits[:6]:0<6}{rest[len(digits) :]}" if dot else "")
        ).timestamp()
    except ValueError:
        return None


def _value(entry: Mapping[str, Any], key: str) -> str:
    found = entry.get(key) or {}
    return str(found.get("value", "") if isinstance(found, Mapping) else found).lower()
