"""Reports from the agent, replies and commands from the controller. Pure.

Commands are level-triggered: every reply carries all that hold now, each is safe to obey twice, and a
reply that is lost costs nothing but time.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from outlast.protocol.limits import LEASE_S, PROTOCOL
from outlast.protocol.objects import ManifestRef


class AgentState(str, enum.Enum):
    IDLE = "idle"  # no assignment yet, or the last one is over
    PREPARING = "preparing"  # code, setup, prefetch
    WAITING = "waiting"  # ready to claim; reports before every try
    RESTORING = "restoring"  # claimed; fetching the head
    RUNNING = "running"
    DRAINING = "draining"  # final save, then release
    RELEASED = "released"
    ENDED = "ended"  # the trainer ended by itself, and the pointer says so
    FAILED = "failed"  # could not get to RUNNING; `failure` says why; nothing is claimed any more
    ABANDONED = "abandoned"  # told to give up before the claim, and will not claim any more
    FENCED = "fenced"  # superseded: trainer dead, nothing more will be written


OVER = frozenset(
    {AgentState.RELEASED, AgentState.ENDED, AgentState.FAILED, AgentState.ABANDONED, AgentState.FENCED}
)


@dataclass(frozen=True)
class Notice:
    """The cloud's warning. `deadline_in_s` counts from when the report was made; None: unknown."""

    kind: str  # terminate, rebalance, withdrawn, shutdown
    deadline_in_s: float | None = None
    detail: str = ""


HEALTH = "health"  # phase of a failure: the health gate refused too many saves in a row


@dataclass(frozen=True)
class Failure:
    """Why an assignment could not go on."""

    phase: str  # code, setup, secrets, restore, claim, trainer, outputs, storage, or HEALTH
    message: str
    exit_code: int | None = None
    fatal: bool = False  # trying again anywhere would end the same way
    tail: str = ""  # the last lines of output, for people


@dataclass(frozen=True)
class SaveStatus:
    """How saving goes: what is durable, what is on its way, what is wrong and for how long."""

    durable: ManifestRef | None = None
    durable_age_s: float | None = None
    local_step: int | None = None  # newest complete save on the node's disk
    uploading_step: int | None = None
    uploaded_bytes: int = 0
    upload_bytes: int = 0
    skipped: int = 0  # complete saves replaced by a newer one before their upload began
    refused: int = 0  # newest complete saves, in a row, that the health gate quarantined, and why the newest
    refused_why: str = ""
    trouble: str = ""
    trouble_age_s: float | None = None
    save_s: float | None = None  # measured: the trainer's save, and its upload
    upload_s: float | None = None
    stall_s: float | None = None  # how long the trainer stood still for a save, if it tells
    state_bytes: int | None = None  # of the newest complete save, and the room beside it on its disk
    disk_free: int | None = None
    every_s: float | None = None  # under `every: auto`: the interval that holds now, and why it is this one
    every_why: str = ""


@dataclass(frozen=True)
class Fact:
    """Something that happened on the node, for the event log. `kind` is one of core.events.Kind."""

    id: int  # per boot; the controller drops what it already has
    age_s: float
    kind: str
    why: str
    data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What one node says of itself. Also the body of its status object in the bucket."""

    job: str
    generation: int
    rank: int
    instance: str  # launch id: known on the node before the cloud's id is
    boot: str  # random, one for each start of the agent
    seq: int  # per boot; a report with a lower seq is older
    state: AgentState
    protocol: int = PROTOCOL
    attempt: str = ""
    writer: str = ""
    step: int | None = None  # last finished step of the trainer
    step_age_s: float | None = None
    save: SaveStatus = field(default_factory=SaveStatus)
    notice: Notice | None = None
    exit_code: int | None = None
    failure: Failure | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()
    why: str = ""  # one line for people: what the node is doing
    lease_s: float = LEASE_S  # how long it goes on without a write: nobody may give it up before that


EVERY_NODE = "every-node"  # each node has saved a part of a checkpoint
FIRST_NODE = "first-node"  # the first node has saved all of it


@dataclass(frozen=True)
class CheckpointPlan:
    """The job file's `checkpoint:` as the node needs it."""

    dir: str = "checkpoints"
    pattern: tuple[str, ...] = ()  # globs in `dir`: only what matches is a checkpoint; (): whatever is known
    every_s: float | None = None  # None: the trainer's own rhythm
    auto: bool = False  # the agent chooses the interval, from what it measures
    keep: int = 3
    signal: str = "USR1"
    health: dict[str, str] = field(default_factory=dict)  # tensor pattern → quarantine, warn, off
    parts: str = ""  # of a gang: EVERY_NODE or FIRST_NODE
    resume_args: str = ""  # e.g. "--resume_from_checkpoint {resume_from}"; used only with a checkpoint
    upload_mbps_max: float | None = None  # megabits a second; None: as fast as it goes


@dataclass(frozen=True)
class Work:
    """All that a node needs to run the job, of one revision."""

    name: str
    owner: str
    revision: int
    run: str  # a shell command
    setup: str = ""
    install: str = ""  # fills a virtual environment that the bucket keeps; "": there is none
    code: str = ""  # key of the packed working folder under the job's prefix; "": none
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()  # names; the agent asks for their values before each start
    outputs: tuple[str, ...] = ()
    checkpoint: CheckpointPlan = field(default_factory=CheckpointPlan)
    drain_limit_s: float = 120.0
    hold_s: float = 0.0  # after a failure the machine is left on for so long, for a person to look


@dataclass(frozen=True)
class WriterRef:
    generation: int
    writer: str


@dataclass(frozen=True)
class Permission:
    """What a claimer may step over, as the controller saw it when it answered.

    `closed`: writers whose end has independent witnesses. `over_ended`: the one ended writer that may be
    continued (a failure that the controller read, or a restart that a person asked for). `start_from`: a
    checkpoint that a person chose. `durable_step`: a step known to be durable; with it, an absent pointer
    is an alarm and never a start at 0.
    """

    closed: tuple[WriterRef, ...] = ()
    over_ended: WriterRef | None = None
    start_from: ManifestRef | None = None
    durable_step: int | None = None


class CommandKind(str, enum.Enum):
    ASSIGN = "assign"  # prepare this generation and rank; leaves an older assignment that is over
    RUN = "run"  # claim as soon as the permission allows it, then train
    DRAIN = "drain"  # save, release, stop
    STOP = "stop"  # release without a new save
    ABANDON = "abandon"  # do not claim; say so
    SAVE = "save"  # ask the trainer for a checkpoint, go on


@dataclass(frozen=True)
class Peer:
    """One node of an attempt, as the others find it."""

    launch: str  # "": there is no machine for this rank yet
    instance: str  # the cloud's id; "": not listed yet
    address: str  # where the other nodes reach it; "": not known yet


@dataclass(frozen=True)
class Command:
    kind: CommandKind
    generation: int
    rank: int = 0
    world_size: int = 1
    attempt: str = ""
    why: str = ""
    work: Work | None = None  # ASSIGN
    permission: Permission | None = None  # RUN
    limit_s: float | None = None  # DRAIN; STOP of a gang: for what is on its way to the bucket
    market: str = ""  # ASSIGN: spot or on-demand, for how soon the machine may be lost; "": not known
    peers: tuple[Peer, ...] = ()  # ASSIGN of a gang: all its nodes in rank order


@dataclass(frozen=True)
class BucketKeys:
    """Reach the job's own prefix of the bucket, and nothing else, for a while. Never sent unasked."""

    options: dict[str, str]  # as `open_bucket` takes them
    life_s: float  # from when they were handed over

    def __repr__(self) -> str:
        return f"BucketKeys({', '.join(self.options)}, life_s={self.life_s:.0f})"  # never the keys themselves


@dataclass(frozen=True)
class JobSecrets:
    """Values of the secrets that the job names. Never sent unasked."""

    values: dict[str, str]

    def __repr__(self) -> str:
        return f"JobSecrets({', '.join(self.values)})"


@dataclass(frozen=True)
class Reply:
    commands: tuple[Command, ...] = ()
    lease_s: float = LEASE_S
    facts_until: int = 0  # facts with an id up to this one are in the event log
    protocol: int = PROTOCOL
    # Stands for `commands`: sent back as `seen`, it says what a hanging request waits to change.
    number: int = 0
