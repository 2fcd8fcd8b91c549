"""All that the agent's decision may look at: what it was told, what its node does, what is under way. Pure.

Points in time are seconds of the boot clock (`…_s`), which also runs while the node is frozen.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from outlast.cadence import Pace
from outlast.node_ports import TrainerExit, TrainerProgress
from outlast.protocol.limits import KEYLESS_MAX_S, LEASE_S
from outlast.protocol.messages import (
    EVERY_NODE,
    AgentState,
    Command,
    Fact,
    Failure,
    Peer,
    Permission,
    Work,
    WriterRef,
)
from outlast.protocol.objects import GangStart, Manifest, ManifestRef, Pointer
from outlast.save.types import Draft, StableCopy

NEVER_S = float("-inf")


class Chore(str, enum.Enum):
    """Something done once, by another task."""

    TODO = "todo"
    DOING = "doing"
    DONE = "done"


@dataclass(frozen=True)
class Identity:
    """Who this agent is. `boot` is random, one for each start of the agent."""

    job: str
    owner: str
    instance: str  # launch id
    boot: str
    cloud: str = ""
    region: str = ""
    instance_id: str = ""  # the cloud's


@dataclass(frozen=True)
class Resume:
    """What the trainer starts from. `path` "": from the beginning."""

    path: str = ""
    step: int | None = None
    ref: ManifestRef | None = None
    manifest: Manifest | None = None


class Stage(str, enum.Enum):
    """The life of one trainer."""

    NONE = "none"
    STARTING = "starting"
    ALIVE = "alive"
    ENDING = "ending"  # its tree is being killed: by our wish, or what it left behind
    DEAD = "dead"  # no process of it is left
    SETTLING = "settling"  # its folder is looked at for the last time
    SETTLED = "settled"  # nothing new will come out of it


@dataclass(frozen=True)
class TrainerView:
    stage: Stage = Stage.NONE
    started_s: float = NEVER_S
    exit: TrainerExit | None = None
    killed_why: str = ""  # we ended it, and why; "": it ended by itself, or lives
    progress: TrainerProgress = field(default_factory=TrainerProgress)
    step_s: float | None = None  # when its last step was seen
    stepped: bool = False  # finished a step of its own in this attempt


@dataclass(frozen=True)
class Ask:
    """The newest request for a save."""

    at_s: float
    final: bool
    why: str
    signalled: bool = False
    withdrawn: bool = False
    saves_since: int = 0  # complete saves found after it


@dataclass(frozen=True)
class Saving:
    """A save's way into the bucket: waiting → under way (uploading, then a draft) → durable."""

    waiting: StableCopy | None = None
    under_way: StableCopy | None = None  # kept until it is committed: a commit may ask for another upload
    uploading: bool = False
    upload_since_s: float = NEVER_S
    uploaded_bytes: int = 0
    draft: Draft | None = None  # its data is durable; manifest and pointer come next
    committing: bool = False
    durable: ManifestRef | None = None
    durable_s: float | None = None
    base: ManifestRef | None = None  # restored or committed by this attempt: its files may be named again
    found_step: int | None = None  # newest complete save on the disk
    found_s: float = NEVER_S
    state_bytes: int | None = None  # of that save
    disk_free: int | None = None  # beside it, when it was found
    skipped: int = 0
    refused: int = 0  # newest complete saves, in a row, that the health gate quarantined
    refused_why: str = ""  # the newest one's reason
    refused_step: int | None = None
    save_s: float | None = None  # measured: from the request to the complete save
    upload_s: float | None = None  # measured: one upload
    told_every_s: float | None = None  # under `every: auto`: the interval that people last heard of
    trouble: str = ""
    trouble_since_s: float | None = None
    tries: int = 0
    retry_s: float = NEVER_S
    prune: Chore = Chore.DONE
    pruned_s: float = NEVER_S  # when that began: wishes for pins were looked at then
    missing: tuple[int, ...] = ()  # of a gang: nodes whose part of the draft is not there yet
    missing_since_s: float | None = None
    missing_told: bool = False  # that it has been so for long
    parted_step: int | None = None  # on a node that follows: the newest step whose part is in the bucket

    @property
    def idle(self) -> bool:
        """Nothing is on its way to the bucket."""
        return self.waiting is None and self.under_way is None


class Plan(str, enum.Enum):
    """What to do with the time that is left."""

    SAVE = "save"  # a new final save, then leave
    FINISH = "finish"  # only the upload under way
    NOTHING = "nothing"  # leave at once


@dataclass(frozen=True)
class Assignment:
    """The node's role in one attempt, and how far it has come."""

    generation: int
    rank: int
    attempt: str
    work: Work
    world_size: int = 1
    market: str = ""
    peers: tuple[Peer, ...] = ()  # all nodes of a gang, by rank
    start: GangStart | None = None  # what the gang starts from, as its first node wrote it
    leader_step: int | None = None  # what the first node is bringing to the bucket
    leader_over: AgentState | None = None  # how its role ended
    leader_why: str = ""
    # before the claim
    prepare: Chore = Chore.TODO
    prepare_tries: int = 0
    prepare_retry_s: float = NEVER_S
    prepare_line: str = ""  # how far it is
    writer: str = ""
    remember: Chore = Chore.TODO
    permission: Permission | None = (
        None  # from the answer to a report that said WAITING; one claim uses it up
    )
    last_run: Permission | None = None  # as the hanging request brought it: a change is worth a try at once
    claim: Chore = Chore.TODO
    claim_tries: int = 0
    claim_not_before_s: float = NEVER_S
    claim_why: str = ""  # why the last try had to wait
    # after the claim
    pointer: Pointer | None = None  # as the claim wrote it: the resume point
    restore: Chore = Chore.TODO
    restore_tries: int = 0
    restore_retry_s: float = NEVER_S
    resume: Resume = field(default_factory=Resume)
    trainer: TrainerView = field(default_factory=TrainerView)
    ask: Ask | None = None
    saving: Saving = field(default_factory=Saving)
    outputs: Chore = Chore.TODO  # the last upload, verified
    plan: Plan | None = None
    plan_why: str = ""
    # its end
    abandon_why: str = ""  # told to give up before the claim
    drain_why: str = ""  # told to drain
    drain_by_s: float | None = None
    stop_why: str = ""  # told to release without a save
    stop_by_s: float | None = None  # what is on its way to the bucket may take until then
    fenced_why: str = ""
    failure: Failure | None = None
    closing: Chore = Chore.TODO  # release or end
    closing_as: AgentState = AgentState.RELEASED
    closing_why: str = ""
    closing_retry_s: float = NEVER_S
    closing_tries: int = 0
    over: AgentState | None = None
    over_why: str = ""
    over_s: float = NEVER_S
    exit_code: int | None = None

    @property
    def claimed(self) -> bool:
        return self.claim is Chore.DONE

    @property
    def ready(self) -> bool:
        """Waits for its turn to claim."""
        done = self.prepare is Chore.DONE and self.remember is Chore.DONE
        return done and not self.claimed and self.over is None

    @property
    def follows(self) -> bool:
        """It is not the first node of its gang: it never claims, and follows who does."""
        return self.rank > 0

    @property
    def parts(self) -> int:
        """On how many other nodes parts of a checkpoint lie."""
        shared = self.work.checkpoint.parts in ("", EVERY_NODE)
        return self.world_size - 1 if shared else 0


@dataclass(frozen=True)
class NoticeView:
    """A notice that stands. `deadline_s` is the cloud's; `leave_by_s` has our margin taken off."""

    kind: str
    deadline_s: float | None
    leave_by_s: float | None
    detail: str = ""

    @property
    def leave(self) -> bool:
        """The node will be gone: a rebalance recommendation is only advice."""
        return self.kind in ("terminate", "shutdown")


@dataclass(frozen=True)
class Telling:
    """What is known of the reports, and of the status object in the bucket."""

    seq: int = 0
    report_in_flight: bool = False
    reported_s: float = NEVER_S  # when the last report was handed over
    reported_state: str = ""  # what it said, as one text
    report_now: bool = False
    status_in_flight: bool = False
    status_s: float = NEVER_S
    status_state: str = ""
    commands_number: int = 0  # of the newest reply that was obeyed
    link_trouble: str = ""
    facts: tuple[Fact, ...] = ()  # age_s counts from `facts_s` of the same index
    facts_s: tuple[float, ...] = ()
    facts_made: int = 0


@dataclass(frozen=True)
class AgentView:
    identity: Identity
    now_s: float
    woke_s: float  # start, or the end of the last freeze: both paths get a chance before the lease is judged
    alive_s: float  # when the last successful write to controller or bucket was sent
    keyless_since_s: float | None = None  # no keys for the bucket, and nobody there who gives new ones
    born_s: float = 0.0  # when this agent first ran, a little after its machine: the age it can be sure of
    lease_s: float = LEASE_S
    pace: Pace = field(default_factory=Pace)
    commands: tuple[Command, ...] = ()  # as of the newest reply
    assignment: Assignment | None = None
    generation_max: int = 0  # of all assignments that were ever taken here and left
    past: tuple[WriterRef, ...] = ()  # writers of earlier assignments: a late claim is released at once
    stray: WriterRef | None = None  # one of them that must be settled: found at start, or seen in the pointer
    remembered_rank: int = 0  # of the assignment that this agent had before it was restarted
    remembered_attempt: str = ""
    recovering: bool = False
    recover_retry_s: float = NEVER_S
    notice: NoticeView | None = None
    notice_unknown: str = ""  # why the metadata service can't be asked
    telling: Telling = field(default_factory=Telling)
    powering_off: bool = False
    alone: bool = False  # no controller, on a machine that is not ours to switch off


def lease_ends_s(view: AgentView) -> float:
    """When this agent must stop: nobody can know by then that it lives. Without keys it can't write, however
    near the bucket is, and waits for the controller much longer."""
    ends_s = view.alive_s + view.lease_s
    return ends_s if view.keyless_since_s is None else max(ends_s, view.keyless_since_s + KEYLESS_MAX_S)


def off_after_s(pace: Pace, over: Assignment) -> float:
    """After the end of its work, from when on the machine is of no use to anyone."""
    if over.over is AgentState.FENCED:
        return pace.fenced_off_s
    return pace.over_off_s + (over.work.hold_s if over.failure is not None else 0.0)
