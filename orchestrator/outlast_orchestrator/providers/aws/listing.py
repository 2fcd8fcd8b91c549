"""Reads what EC2 lists: states, and who ended a machine, by the cloud's own codes. Pure.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from outlast_orchestrator.core.types import Market
from outlast_orchestrator.core.view import CloudState, EndProof, Seen
from outlast_orchestrator.providers.aws import request as tags
from outlast_orchestrator.providers.aws.config import CLOUD

STATES = {
    "pending": CloudState.PENDING,
    "running": CloudState.RUNNING,
    "shutting-down": CloudState.STOPPING,
    "stopping": CloudState.STOPPING,
    "stopped": CloudState.OFF,
    "terminated": CloudState.ENDED,
}
REASONS = {
    "Server.SpotInstanceTermination": EndProof.INTERRUPTED,
    "Server.SpotInstanceShutdown": EndProof.INTERRUPTED,
    "Server.InsufficientInstanceCapacity": EndProof.LAUNCH,
    "Client.VolumeLimitExceeded": EndProof.LAUNCH,
    "Client.InternalError": EndProof.LAUNCH,
    "Client.InvalidSnapshot.NotFound": EndProof.LAUNCH,
    "Client.InstanceTerminated": EndProof.LAUNCH,
    "Server.InternalError": EndProof.HOST,
    "Server.ScheduledStop": EndProof.HOST,
    "Client.UserInitiatedShutdown": EndProof.OURS_OR_PERSON,
    "Client.InstanceInitiatedShutdown": EndProof.GUEST,
}
# Of the spot request. They are final at the notice, while the machine still runs.
TAKEN = frozenset(
    {
        "marked-for-termination",
        "marked-for-stop",
        "marked-for-stop-by-experiment",
        "instance-terminated-no-capacity",
        "instance-terminated-by-price",
        "instance-terminated-by-service",
        "instance-terminated-by-schedule",
        "instance-terminated-by-experiment",
        "instance-terminated-launch-group-constraint",
        "instance-terminated-capacity-oversubscribed",
        "instance-stopped-by-price",
        "instance-stopped-no-capacity",
        "instance-stopped-by-experiment",
    }
)
_WHEN = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")


def seen_of(one: Mapping[str, Any], statuses: Mapping[str, Mapping[str, Any]], region: str) -> Seen:
    """`one`: an instance of DescribeInstances; `statuses`: of spot requests, by the id of their machine."""
    marks = {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
    status = statuses.get(one["InstanceId"], {})
    state = STATES.get(one["State"]["Name"], CloudState.RUNNING)
    spot = one.get("InstanceLifecycle") == "spot"
    over = state in (CloudState.OFF, CloudState.ENDED)
    return Seen(
        id=one["InstanceId"],
        launch_id=marks.get(tags.LAUNCH, ""),
        token=marks.get(tags.TOKEN, ""),
        job=marks.get(tags.JOB, ""),
        owner=marks.get(tags.OWNER, ""),
        cloud=CLOUD,
        region=region,
        zone=one.get("Placement", {}).get("AvailabilityZone", ""),
        instance_type=one["InstanceType"],
        market=Market.SPOT if spot else Market.ON_DEMAND,
        state=state,
        price_usd_h=_price(marks.get(tags.PRICE, "")),
        started_at=one["LaunchTime"].timestamp() if "LaunchTime" in one else None,
        ended_at=_ended_at(one, status) if over else None,
        interrupting=not over and status.get("Code") in TAKEN,
        end=_proof(one, status) if over else EndProof.UNKNOWN,
        end_text=_words(one, status) if over else "",
        address=one.get("PublicIpAddress") or one.get("PrivateIpAddress") or "",
    )


def is_unexplained(one: Mapping[str, Any]) -> bool:
    """It is over, and its own reason does not say why."""
    over = STATES.get(one["State"]["Name"]) in (CloudState.OFF, CloudState.ENDED)
    return over and one.get("StateReason", {}).get("Code", "") not in REASONS


def _proof(one: Mapping[str, Any], status: Mapping[str, Any]) -> EndProof:
    """The machine's own reason first: a request keeps what the market wanted, whoever was faster."""
    found = REASONS.get(one.get("StateReason", {}).get("Code", ""), EndProof.UNKNOWN)
    if found is EndProof.UNKNOWN and status.get("Code") in TAKEN:
        return EndProof.INTERRUPTED
    return found


def _words(one: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    reason = one.get("StateReason", {})
    words = [reason.get("Message", ""), one.get("StateTransitionReason", ""), status.get("Message", "")]
    return "; ".join(word for word in words if word) or "no reason given"


def _ended_at(one: Mapping[str, Any], status: Mapping[str, Any]) -> float | None:
    match = _WHEN.search(one.get("StateTransitionReason", ""))
    if match:
        at = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
        return at.timestamp()
    updated = status.get("UpdateTime") if status.get("Code") in TAKEN else None
    return updated.timestamp() if updated is not None else None


def _price(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0
