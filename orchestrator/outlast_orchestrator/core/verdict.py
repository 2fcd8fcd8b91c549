"""Why a machine ended, from what the cloud, the agent and our own records say of it. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from outlast_orchestrator.core.types import InstancePhase
from outlast_orchestrator.core.view import EndProof, InstanceView


class Verdict(str, enum.Enum):
    PREEMPTED = "preempted"
    PROBABLY_PREEMPTED = "probably preempted"
    OURS = "ended by Outlast"
    PROBABLY_OURS = "ended, probably by Outlast"
    USER_KILL = "ended by a person"
    HOST_LOST = "host lost"
    LAUNCH_FAILED = "launch failed"
    GUEST_SHUTDOWN = "machine switched itself off"


@dataclass(frozen=True)
class Judged:
    verdict: Verdict
    why: str

    @property
    def stops_the_job(self) -> bool:
        """A person who ends a machine by hand means it: a relaunch would fight them."""
        return self.verdict is Verdict.USER_KILL


def judge(machine: InstanceView) -> Judged:
    """The verdict on a machine that is gone, by the strongest evidence there is.

    Our own record comes first: a terminate call of ours looks to the cloud just like a person's.
    """
    record, seen = machine.record, machine.seen
    if record.phase is InstancePhase.TERMINATING or record.terminate_why:
        return Judged(Verdict.OURS, record.terminate_why or "terminated by Outlast")
    noticed = machine.heard is not None and machine.heard.report.notice is not None
    noticed = noticed or record.first_noticed_at is not None
    if seen is None:
        return Judged(Verdict.LAUNCH_FAILED, "it never appeared in the cloud's listing")
    text = seen.end_text or "no reason given"
    if seen.end is EndProof.INTERRUPTED or seen.interrupting:
        return Judged(Verdict.PREEMPTED, f"the cloud says that it was interrupted ({text})")
    if noticed:
        return Judged(Verdict.PREEMPTED, "the agent had seen the cloud's notice, and the machine is gone")
    if seen.end is EndProof.OURS_OR_PERSON and record.from_backup:
        return Judged(Verdict.PROBABLY_OURS, "it was ended after the backup that this store comes from")
    by_proof = {
        EndProof.OURS_OR_PERSON: Judged(
            Verdict.USER_KILL, f"somebody ended it, and it was not Outlast ({text})"
        ),
        EndProof.HOST: Judged(Verdict.HOST_LOST, f"the provider lost it ({text})"),
        EndProof.GUEST: Judged(Verdict.GUEST_SHUTDOWN, f"it was switched off from inside ({text})"),
        EndProof.LAUNCH: Judged(Verdict.LAUNCH_FAILED, f"it never came up ({text})"),
    }
    unknown = Judged(Verdict.PROBABLY_PREEMPTED, "it is gone, and nobody here ended it")
    return by_proof.get(seen.end, unknown)
