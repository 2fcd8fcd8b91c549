"""What the controller keeps of jobs, attempts and instances. Pure.

Two writers never share a row: a person's wish is a `Job` (written by the API), what the controller made of
it is a `Progress`, `Attempt` or `Instance` (written by the leader under its term).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from outlast.protocol.messages import Work
from outlast.protocol.objects import ManifestRef


class Wanted(str, enum.Enum):
    RUN = "run"
    PAUSED = "paused"
    CANCELLED = "cancelled"


class JobState(str, enum.Enum):
    PENDING = "PENDING"  # no machine yet
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    RECOVERING = "RECOVERING"  # lost its machine, or is being moved
    UNREACHABLE = "UNREACHABLE"  # not heard from; nothing is done before the lease ends
    PAUSED = "PAUSED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"  # stopped, and told; can be continued
    CANCELLED = "CANCELLED"


OVER = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class Market(str, enum.Enum):
    SPOT = "spot"
    ON_DEMAND = "on-demand"


@dataclass(frozen=True)
class Want:
    """What a job asks of a machine."""

    gpus: tuple[str, ...] = ()  # any of, e.g. ("H100:8", "A100-80GB:8"); (): no GPU needed
    clouds: tuple[str, ...] = ()  # (): all that are configured
    regions: tuple[str, ...] = ()
    markets: tuple[Market, ...] = (Market.SPOT,)
    price_max_usd_h: float | None = None
    disk_gb: int = 100


@dataclass(frozen=True)
class RetryPlan:
    max_failures: int = 3
    fatal_exit_codes: tuple[int, ...] = ()
    retryable_exit_codes: tuple[int, ...] = ()  # do not count as failures


@dataclass(frozen=True)
class Restart:
    """A person asked for a new attempt. `number` grows; the controller remembers the last it has done."""

    number: int = 0
    start_from: ManifestRef | None = None
    now: bool = False  # without a final save


@dataclass(frozen=True)
class Job:
    """What a person submitted and wants. Written by the API only."""

    id: str
    name: str
    owner: str
    created_at: float
    revision: int
    want: Want
    work: Work
    retry: RetryPlan
    storage: str  # URL of the bucket or folder; the job's prefix is jobs/<id>/ below it
    policy: str = "cheapest"
    max_duration_s: float | None = None
    nodes: int = 1
    labels: dict[str, str] = field(default_factory=dict)
    wanted: Wanted = Wanted.RUN
    wanted_by: str = ""  # who, and why, for the event log
    wanted_number: int = 0  # grows with every change of `wanted`, `revision` or `restart`
    restart: Restart = field(default_factory=Restart)


@dataclass(frozen=True)
class Closing:
    """Why an attempt is over, and who said so."""

    why: str
    verdict: str = ""  # a Verdict's value, for the ledger and for people
    witnesses: tuple[str, ...] = ()
    at: float = 0.0


class AttemptPhase(str, enum.Enum):
    PREPARING = "preparing"
    WAITING = "waiting"
    RESTORING = "restoring"
    RUNNING = "running"
    DRAINING = "draining"
    CLOSED = "closed"


@dataclass(frozen=True)
class Attempt:
    """One start of the trainer. `generation` is the fencing number."""

    job: str
    generation: int
    id: str  # random
    revision: int
    planned_at: float
    planned_why: str
    launches: tuple[str, ...] = ()  # launch ids in rank order
    phase: AttemptPhase = AttemptPhase.PREPARING
    claimed: bool = False  # the pointer has named it
    writer: str = ""  # as the pointer or a report gave it
    abandoned: bool = False
    abandoned_why: str = ""
    noticed: bool = False
    stepped: bool = False  # finished at least one new step
    start_step: int | None = None
    last_step: int | None = None
    closing: Closing | None = None
    permission_over_ended: str = ""  # writer of the ended attempt that this one may continue
    start_from: ManifestRef | None = None
    running_at: float | None = None  # first seen training
    draining_since: float | None = None  # controller's wall clock, for people and limits after a restart
    drain_now: bool = False  # release without a new save

    @property
    def open(self) -> bool:
        return self.phase is not AttemptPhase.CLOSED


class InstancePhase(str, enum.Enum):
    LAUNCHING = "launching"  # the intent is saved; the call may or may not have been made
    BOOTING = "booting"  # the cloud lists it
    READY = "ready"  # the agent reports
    TERMINATING = "terminating"  # we asked, or it was told to end; repeated until Gone
    GONE = "gone"


class Asked(str, enum.Enum):
    """How the launch call of the current try went."""

    INTENDED = "intended"  # saved, no answer known (also after a controller died in the call)
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Offer:
    """Somewhere a node could run."""

    cloud: str
    region: str
    zone: str
    instance_type: str
    market: Market
    price_usd_h: float
    on_demand_usd_h: float
    gpu: str = ""
    gpu_count: int = 0
    together: bool = False  # its cloud takes it in one call with others of its region and market

    @property
    def pool(self) -> str:
        """Scope key, widest first."""
        return f"{self.cloud}/{self.region}/{self.zone}/{self.instance_type}/{self.market.value}"


@dataclass(frozen=True)
class LaunchRequest:
    """The exact request, saved before the call and repeated only as it is."""

    token: str  # "<launch id>-<try>"
    launch_id: str
    owner: str
    job: str
    offer: Offer
    disk_gb: int
    max_life_s: float
    count: int = 1
    min_count: int = 1
    user_data: str = ""
    others: tuple[Offer, ...] = ()  # of its region and market: the cloud may take one of these instead

    @property
    def offers(self) -> tuple[Offer, ...]:
        return (self.offer, *self.others)


@dataclass(frozen=True)
class Instance:
    """The controller's record of one machine: an intent first, then what the cloud says of it."""

    launch_id: str  # random
    job: str
    request: LaunchRequest
    phase: InstancePhase = InstancePhase.LAUNCHING
    asked: Asked = Asked.INTENDED
    tries: int = 1
    intended_at: float = 0.0
    id: str = ""  # the cloud's, once listed
    address: str = ""
    started_at: float | None = None  # billing, by the cloud's or else our clock
    ended_at: float | None = None
    end_why: str = ""
    terminate_why: str = ""
    first_noticed_at: float | None = None
    token_hash: str = ""  # of the node's API token; the token itself is never stored in clear
    installed: bool = False
    install_why: str = ""  # what went wrong with the last try to install the agent
    adopted: bool = False  # found in a listing: what it is for has to be learned from its agent
    from_backup: bool = False  # as a backup knew it, and not heard since: who ended it is not known here
    taken: Offer | None = None  # which of the request's it is, once listed

    @property
    def offer(self) -> Offer:
        """Until it is listed, the one that was asked for first."""
        return self.taken or self.request.offer


@dataclass(frozen=True)
class Progress:
    """What the controller knows of a job as a whole."""

    job: str
    state: JobState = JobState.PENDING
    why: str = ""
    since: float = 0.0
    generation_max: int = 0
    failures: int = 0  # since the last new durable step
    fruitless: int = 0  # attempts in a row that trained or crashed without a new durable step
    unhealthy: int = 0  # attempts that ended for the health of their saves, all with this head
    unhealthy_head: str = ""  # its name; "": there was no checkpoint yet
    retry_at: float = 0.0  # wall clock; not before
    durable: ManifestRef | None = None
    durable_at: float | None = None
    closed: tuple[tuple[int, str], ...] = ()  # (generation, writer) with witnesses
    restart_done: int = 0
    failed_number: int = -1  # `wanted_number` that the failure answers; a newer wish continues
    handled_number: int = -1  # last `wanted_number` that was acted on
    wish_number: int = 0  # last `wanted_number` seen, and when (wall clock): what was read before is past
    wish_at: float = 0.0
    exit_code: int | None = None
    ended_writer: str = ""  # the newest one whose end, written in the pointer, was taken
    pending_over_ended: str = ""  # writer of the ended attempt that the next one to claim may continue
    pending_start_from: ManifestRef | None = None
    hold: str = ""  # the checkpoint for which a hold may lie in the bucket, for a restart from it
    hold_done: bool = False  # … and does
    state_bytes: int | None = None  # of a checkpoint, and how long one takes, as last measured
    save_s: float | None = None
    upload_s: float | None = None
    unfit: tuple[str, ...] = ()  # misfits with disk or notice that people have heard of
    restored: bool = False  # from a backup, and not compared with the pointer yet


@dataclass(frozen=True)
class FactMark:
    """Facts of this boot of a node's agent up to this id are in the event log."""

    launch_id: str
    boot: str
    until: int


class BlockedBy(str, enum.Enum):
    CAPACITY = "capacity"
    QUOTA = "quota"
    DENIED = "denied"
    INVALID = "invalid"
    THROTTLED = "throttled"
    TRANSIENT = "transient"


@dataclass(frozen=True)
class Block:
    """A scope that is not to be asked for a while. `until` None: until a person changes something."""

    scope: str  # scope key: blocks every pool whose key starts with it
    by: BlockedBy
    until: float | None
    why: str
    since: float = 0.0
    times: int = 1
