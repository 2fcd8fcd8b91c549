"""What a controller would say to a lone agent: claim, wait, or that nothing is to be done. Pure.

There is no cloud to ask, so one witness is left: whoever lives writes its status object, and stops its
trainer when nothing could be written for its lease. What has not changed between two of our own readings,
the lease and a margin apart on our own clock, is closed. No stored time is ever compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from outlast.protocol.limits import LEASE_MARGIN_S
from outlast.protocol.messages import HEALTH, AgentState, Permission, Report, WriterRef
from outlast.protocol.objects import ManifestRef, Pointer, PointerState

EXIT_NEEDS_A_PERSON = 69  # EX_UNAVAILABLE: starting it again would end the same way
EXIT_TAKEN_OVER = 75  # EX_TEMPFAIL: start it again, here or elsewhere
MARGIN_SHARE = 0.1  # of a short lease: the margin covers only how long it takes to kill a trainer


@dataclass(frozen=True)
class Sight:
    """One reading of the bucket: begun and ended on our own clock, the pointer, its writer's status."""

    begun_s: float
    ended_s: float
    pointer: Pointer | None
    version: str = ""  # of the pointer
    status: str = ""  # version of the status object; "": there is none
    lease_s: float | None = None  # that its status tells
    who: str = ""  # the machine that its status tells
    step: int | None = None
    orphaned_step: int | None = None  # without a pointer: the highest step of the manifests that are there


@dataclass(frozen=True)
class Watch:
    """For how long the one that the pointer names has shown no sign of life, by our own readings."""

    at_start: WriterRef | None = None  # what had ended before the person started this run
    looked: bool = False
    last: Pointer | None = None
    signs: tuple[str, str] = ("", "")
    since_s: float = 0.0  # the end of the first reading that showed these signs
    until_s: float = 0.0  # the begin of the newest one

    @property
    def quiet_s(self) -> float:
        return max(0.0, self.until_s - self.since_s)


def look(watch: Watch, sight: Sight) -> Watch:
    """The watch after one more reading. A reading that failed is none."""
    pointer = sight.pointer
    if not watch.looked and pointer is not None and pointer.state is PointerState.ENDED:
        watch = replace(watch, at_start=WriterRef(pointer.generation, pointer.writer))
    signs = (sight.version, sight.status)
    if not watch.looked or signs != watch.signs:
        # It was written at the latest when this reading ended; until then nothing is known of any silence.
        watch = replace(watch, signs=signs, since_s=sight.ended_s)
    return replace(watch, looked=True, until_s=sight.begun_s, last=pointer or watch.last)


@dataclass(frozen=True)
class Run:
    """Claim, stepping over what the permission names."""

    permission: Permission
    why: str


@dataclass(frozen=True)
class Wait:
    why: str


@dataclass(frozen=True)
class Done:
    """Nothing is left to do here. `left`: the node had to leave, the job goes on elsewhere."""

    code: int
    why: str
    left: bool = False


def margin_s(lease_s: float) -> float:
    return min(LEASE_MARGIN_S, lease_s * MARGIN_SHARE)


def judge(watch: Watch, sight: Sight, *, lease_s: float, restart: bool) -> Run | Wait | Done:
    """`watch` with this very reading in it. `restart`: a person wants to go on after an end with 0."""
    pointer = sight.pointer
    if pointer is None:
        return _absent(watch, sight)
    them = WriterRef(pointer.generation, pointer.writer)
    if pointer.state is PointerState.RELEASED:
        return Run(Permission(), f"generation {pointer.generation} released the job")
    if pointer.state is PointerState.ENDED:
        return _ended(watch, pointer, them, restart)
    told_s = max(lease_s, sight.lease_s or 0.0)
    limit_s = told_s + margin_s(told_s)
    who = f"generation {pointer.generation}" + (f" on {sight.who}" if sight.who else "")
    if watch.quiet_s >= limit_s:
        why = (
            f"closing {who}: no sign of life for {watch.quiet_s:.0f} s by this machine's clock, longer than "
            f"its lease of {told_s:.0f} s and {margin_s(told_s):.0f} s of margin"
        )
        return Run(Permission(closed=(them,)), why)
    at = "" if sight.step is None else f", at step {sight.step}"
    return Wait(f"{who} has the job{at}; it is taken over after {limit_s:.0f} s without a sign of life")


def _absent(watch: Watch, sight: Sight) -> Run:
    """The first run, or an alarm: what is known goes into the permission, and the claim refuses then."""
    last = watch.last
    if last is not None:
        step = last.head.step if last.head is not None else None
        closed = (WriterRef(last.generation, last.writer),)
        return Run(Permission(closed=closed, durable_step=step), "the pointer vanished")
    return Run(Permission(durable_step=sight.orphaned_step), "the first run of this job")


def _ended(watch: Watch, pointer: Pointer, them: WriterRef, restart: bool) -> Run | Done:
    """Who starts again after a failure wants it to go on. That holds only for the end that was there then."""
    end = f"generation {pointer.generation} ended with code {pointer.exit_code}"
    if watch.at_start != them:
        return Done(pointer.exit_code or 0, f"{end} while this run waited for its turn ({pointer.why})")
    if pointer.exit_code == 0 and not restart:
        step = f" at step {pointer.head.step}" if pointer.head is not None else ""
        return Done(
            0,
            f"this job is done: {end}{step}. To go on from its last checkpoint all the same, add --restart; "
            "to begin anew, give another --name",
        )
    return Run(Permission(over_ended=them), f"{end}, and was started again")


@dataclass(frozen=True)
class Again:
    """The attempt is over, the job is not: one more in this place."""

    why: str
    unhealthy: bool = False  # the health gate refused its saves: a second time in a row is the end


@dataclass(frozen=True)
class Sick:
    """An attempt has ended because the health gate refused its saves; this was the head then."""

    head: ManifestRef | None


def after(
    report: Report, *, claimed: bool, began_at: ManifestRef | None, sick: Sick | None = None
) -> Again | Done:
    """What follows from the last word of an attempt. `began_at`: the head when it was assigned; `sick`: of
    the newest attempt that ended for its health."""
    why = report.why
    if report.failure is not None and report.failure.phase == HEALTH:
        return _unhealthy(report.failure.message, sick, Sick(report.save.durable))
    if report.state is AgentState.ENDED:
        return Done(report.exit_code or 0, why)
    if report.state is AgentState.FAILED:
        message = report.failure.message if report.failure is not None else why
        return Done(EXIT_NEEDS_A_PERSON, message)
    if report.state is AgentState.FENCED:
        if not claimed:
            return Again(f"another run was faster: {why}")
        return Done(EXIT_TAKEN_OVER, f"another run has taken the job over: {why}")
    if report.state is AgentState.ABANDONED or report.notice is not None:
        return Done(EXIT_TAKEN_OVER, why, left=True)
    if report.save.durable != began_at:
        return Again(f"released, and still wanted: {why}")
    return Done(
        EXIT_NEEDS_A_PERSON,
        f"{why}; it left no new checkpoint, so it would only leave again. If it can't save when it is "
        "asked to, take --every and --signal away",
    )


def _unhealthy(message: str, before: Sick | None, now: Sick) -> Again | Done:
    """Bad luck is over with a new start from the last good checkpoint; what comes back is for a person."""
    good = "the beginning" if now.head is None else f"step {now.head.step}"
    if before != now:
        return Again(f"{message}. Once more, from {good}", unhealthy=True)
    return Done(
        EXIT_NEEDS_A_PERSON,
        f"{message}. The same as the last time, after going on from {good}: look at the loss and the "
        "learning rate there. Started again, this goes on from it; if such numbers are meant to be, say so "
        "with --health",
    )
