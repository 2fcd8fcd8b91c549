"""When a machine counts as gone, and when a node counts as silent. Pure.

Unknown is never an absence, and nothing here looks at a stored time or at the node's clock: a time that
was written down by a controller that has since died proves nothing about the present.
"""

from __future__ import annotations

from dataclasses import dataclass

from outlast.protocol.limits import GONE_AFTER_ABSENCES
from outlast_orchestrator.core.types import InstancePhase
from outlast_orchestrator.core.view import NEVER_S, CloudState, InstanceView, Limits


@dataclass(frozen=True)
class Gone:
    """Proof that a machine will never run again, in words."""

    why: str


def gone(machine: InstanceView, limits: Limits) -> Gone | None:
    """The machine is listed as terminal, or absent from enough complete listings, each begun late enough.

    One that is off by itself is gone too, for whoever waits for it; the sweep finds and deletes what is left
    of it. If we have asked for its end, only that proves it.
    Late enough: after its last sign of life, and, if it was never listed, after the provider's lag for
    fresh instances. So a stale listing, a lagging one and a failed one all prove nothing.
    """
    seen = machine.seen
    if seen is not None and seen.state is CloudState.ENDED:
        return Gone(f"the cloud lists it as ended ({seen.end_text or seen.end.value})")
    if (
        seen is not None
        and seen.state is CloudState.OFF
        and machine.record.phase is not InstancePhase.TERMINATING
    ):
        return Gone(f"the cloud lists it as switched off ({seen.end_text or seen.end.value})")
    after_s = machine.heard.life_s if machine.heard is not None else NEVER_S
    if seen is None:
        if machine.asked_s == NEVER_S:
            return None  # its launch call has not been answered: it may still be on its way
        after_s = max(after_s, machine.asked_s + limits.launch_lag_s)
    absences = sum(1 for begun_s in machine.absent_s if begun_s > after_s)
    if absences < GONE_AFTER_ABSENCES:
        return None
    never = "was never listed and" if seen is None else "was listed before and"
    return Gone(f"it {never} is absent from {absences} complete listings begun since its last sign of life")


def silence_s(machine: InstanceView) -> float:
    """Seconds without a sign of life, as far as this controller could have heard one."""
    return machine.unheard_s if machine.heard is None else machine.heard.silent_s


def is_silent(machine: InstanceView, limits: Limits) -> bool:
    """Nothing heard for a while; a connection that closed under the agent counts at once."""
    if machine.heard is not None and machine.heard.closed:
        return True
    return silence_s(machine) >= limits.silent_after_s


def lease_ends_in_s(machine: InstanceView, limits: Limits) -> float:
    """Until its attempt may be closed for silence alone; below 0: now.

    Silence is proven up to the newest look into the bucket, not up to now: a node that was frozen may have
    woken since, and what can't be undone waits for the next look.
    """
    return limits.lease_s + limits.lease_margin_s - (silence_s(machine) - machine.unread_s)


def lease_is_over(machine: InstanceView, limits: Limits) -> bool:
    """The agent has stopped its trainer, as it does by itself when its lease ends, or stood still itself."""
    return lease_ends_in_s(machine, limits) < 0.0
