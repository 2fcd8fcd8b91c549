"""Reads what Compute Engine lists: machines that are there, and by its operations the ends of the others.

A machine that is deleted is out of the list at once; who did it stands in the operation that ended it.
https://cloud.google.com/compute/docs/instances/instance-lifecycle
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from outlast_orchestrator.core.types import Market
from outlast_orchestrator.core.view import CloudState, EndProof, Seen
from outlast_orchestrator.providers import marks
from outlast_orchestrator.providers.gcp.config import CLOUD

STATES = {
    "PROVISIONING": CloudState.PENDING,
    "STAGING": CloudState.PENDING,
    "PENDING": CloudState.PENDING,
    "RUNNING": CloudState.RUNNING,
    "REPAIRING": CloudState.RUNNING,
    "PENDING_STOP": CloudState.STOPPING,
    "STOPPING": CloudState.STOPPING,
    "SUSPENDING": CloudState.STOPPING,
    "DEPROVISIONING": CloudState.STOPPING,
    "SUSPENDED": CloudState.STOPPING,  # its processes are still there
    # What its host or its own system ended, whatever was asked for in the case of a preemption.
    "STOPPED": CloudState.OFF,
    "TERMINATED": CloudState.OFF,
}
PREEMPTED = "compute.instances.preempted"
PROOFS = {
    PREEMPTED: EndProof.INTERRUPTED,
    "compute.instances.hostError": EndProof.HOST,
    "compute.instances.terminateOnHostMaintenance": EndProof.HOST,
    "compute.instances.guestTerminate": EndProof.GUEST,
    "delete": EndProof.OURS_OR_PERSON,
    "stop": EndProof.OURS_OR_PERSON,
}
# What the market or the host did comes before the delete that follows from it.
_STRENGTH = (EndProof.INTERRUPTED, EndProof.HOST, EndProof.GUEST, EndProof.OURS_OR_PERSON)


@dataclass(frozen=True)
class End:
    """An operation that ends a machine, by the machine's name and number."""

    name: str
    target_id: int
    zone: str
    proof: EndProof
    text: str
    at: float | None
    done: bool


def end_of(operation: Any) -> End | None:
    """None for an operation that ends nothing, or that failed."""
    proof = PROOFS.get(operation.operation_type)
    if proof is None or operation.error.errors:
        return None
    zone, name = _tail(operation.zone), _tail(operation.target_link)
    by = f" by {operation.user}" if operation.user else ""
    text = f"{operation.operation_type}{by}: {operation.status_message}".rstrip(": ")
    at = _time(operation.end_time or operation.insert_time)
    done = _name(operation.status) == "DONE"
    return End(name, operation.target_id, zone, proof, text, at, done)


def seen_of(one: Any, ends: Sequence[End], region: str) -> Seen:
    """A machine that is in the list; `ends`: those of this very machine."""
    labels, zone = dict(one.labels), _tail(one.zone)
    state = STATES.get(_name(one.status), CloudState.RUNNING)
    spot = one.scheduling.provisioning_model == "SPOT"
    off = _strongest(ends) if state is CloudState.OFF else None
    accelerator = "".join(f"+{_tail(a.accelerator_type)}" for a in one.guest_accelerators)
    return Seen(
        id=str(one.id),
        launch_id=labels.get(marks.LAUNCH, ""),
        token=labels.get(marks.TOKEN, ""),
        job=labels.get(marks.JOB, ""),
        owner=labels.get(marks.OWNER, ""),
        cloud=CLOUD,
        region=region,
        zone=zone,
        instance_type=_kind(one.machine_type, accelerator),
        market=Market.SPOT if spot else Market.ON_DEMAND,
        state=state,
        price_usd_h=marks.price_of(labels.get(marks.PRICE, "")),
        started_at=_time(one.creation_timestamp),
        ended_at=off.at if off is not None else None,
        interrupting=state is not CloudState.OFF and any(e.proof is EndProof.INTERRUPTED for e in ends),
        end=off.proof if off is not None else EndProof.UNKNOWN,
        end_text=off.text if off is not None else "",
        address=_address(one),
    )


def gone_of(ends: Iterable[End], owner: str, region: str) -> list[Seen]:
    """Machines that are no longer in the list, one each, with the strongest proof of their end."""
    of: dict[int, list[End]] = {}
    for end in ends:
        of.setdefault(end.target_id, []).append(end)
    best = (_strongest(own) for own in of.values())
    return [_gone(end, owner, region) for end in best if end and marks.launch_of(end.name, owner)]


def _strongest(ends: Sequence[End]) -> End | None:
    return min(ends, key=lambda end: _STRENGTH.index(end.proof), default=None)


def _gone(end: End, owner: str, region: str) -> Seen:
    """Job, type and price are with the record that this proof is for."""
    return Seen(
        id=str(end.target_id),
        launch_id=marks.launch_of(end.name, owner),
        token="",
        job="",
        owner=owner,
        cloud=CLOUD,
        region=region,
        zone=end.zone,
        instance_type="",
        market=Market.SPOT,
        state=CloudState.ENDED,
        price_usd_h=0.0,
        ended_at=end.at,
        end=end.proof,
        end_text=end.text,
    )


def _kind(machine_type: str, accelerator: str) -> str:
    """As in our table: GPUs that are no part of the type stand behind a plus sign."""
    name = _tail(machine_type)
    return name + accelerator if name.startswith("n1-") else name


def _address(one: Any) -> str:
    for interface in one.network_interfaces:
        public = [access.nat_i_p for access in interface.access_configs if access.nat_i_p]
        return str((public or [interface.network_i_p])[0])
    return ""


def _tail(url: str) -> str:
    return url.rpartition("/")[2]


def _name(status: Any) -> str:
    """The SDK gives some states as an enumeration, others as text."""
    return str(getattr(status, "name", status))


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
