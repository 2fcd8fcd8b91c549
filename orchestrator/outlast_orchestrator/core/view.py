"""All that a decision may look at: one job, its machines, and what is known of both right now. Pure.

Monotonic seconds (`…_s` points in time) are the controller's own and mean nothing to another process;
wall-clock seconds end in `_at`. Evidence that could not be had is said to be missing, never left out.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from outlast.protocol.messages import Report
from outlast.protocol.objects import Pointer
from outlast_orchestrator.core.errors import ProviderError
from outlast_orchestrator.core.types import Attempt, Block, Instance, Job, Market, Offer, Progress

NEVER_S = float("-inf")


class CloudState(str, enum.Enum):
    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    OFF = "off"  # it does not run, and is there still with a disk that costs money until it is deleted
    ENDED = "ended"  # terminal: it will never run again


class EndProof(str, enum.Enum):
    """What the cloud says of the end, translated by the provider."""

    INTERRUPTED = "interrupted"  # the market took it
    OURS_OR_PERSON = "by-request"  # somebody called the API: compare with our own records
    HOST = "host"  # provider failure or maintenance
    GUEST = "guest"  # the machine powered itself off
    LAUNCH = "launch"  # it never ran
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Seen:
    """One instance in a listing."""

    id: str
    launch_id: str
    token: str
    job: str
    owner: str
    cloud: str
    region: str
    zone: str
    instance_type: str
    market: Market
    state: CloudState
    price_usd_h: float
    started_at: float | None = None
    ended_at: float | None = None
    interrupting: bool = False  # the cloud has announced the end
    end: EndProof = EndProof.UNKNOWN
    end_text: str = ""
    address: str = ""


@dataclass(frozen=True)
class Orphan:
    """A machine with our owner id that no record names, and what the sweep does about it."""

    seen: Seen
    job_known: bool
    why: str
    twin: bool = False  # a second machine of a launch whose record names another one


@dataclass(frozen=True)
class Strays:
    """`unlisted`: regions that could not be listed, with the reason: nothing is known about those."""

    found: tuple[Orphan, ...] = ()
    unlisted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """One machine that a person wanted to end. `refused`: why it was not; "": the cloud was told."""

    id: str
    refused: str = ""


@dataclass(frozen=True)
class RegionListing:
    """The answer of one region. With a `problem` it is Unknown, and its instances mean nothing."""

    cloud: str
    region: str
    begun_s: float
    instances: tuple[Seen, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Heard:
    """The last that was heard of the agent on one instance, over the API or through the bucket."""

    report: Report
    life_s: float  # monotonic time of the last sign of life
    silent_s: float  # since then, counted only while the controller could read API and bucket
    closed: bool = False  # its hanging connection ended, and nothing came since
    state_s: float = NEVER_S  # monotonic time when (generation, state) was first heard as it is now


@dataclass(frozen=True)
class InstanceView:
    record: Instance
    seen: Seen | None = None  # in the newest complete listing of its region that had it
    seen_s: float = NEVER_S  # when that listing was begun
    absent_s: tuple[float, ...] = ()  # begin of complete listings since then that did not have it
    region_problem: str = ""  # why its region can't be listed now
    heard: Heard | None = None
    unheard_s: float = 0.0  # with `heard` None: for how long we could have heard it
    unread_s: float = 0.0  # how long ago the newest reading of its status object was begun
    asked_s: float = NEVER_S  # when this controller last got an answer to its launch call, or started
    terminate_s: float = NEVER_S  # when this controller's last terminate call ended
    install_s: float = NEVER_S  # when this controller's last install call ended


@dataclass(frozen=True)
class PointerSeen:
    """The newest reading of the job's pointer. With a `problem` nothing is known."""

    begun_s: float = NEVER_S
    pointer: Pointer | None = None  # None with no problem: there is none
    problem: str = "not read yet"
    garbage: bool = False  # the problem is what was read, not that it could not be read


class CallKind(str, enum.Enum):
    LAUNCH = "launch"  # key: token
    TERMINATE = "terminate"  # key: launch id
    INSTALL = "install"  # key: launch id
    GENERATION = "generation"  # key: job id
    HOLD = "hold"  # key: job id
    POINTER = "pointer"  # key: job id
    LIST = "list"  # key: cloud/region
    STATUS = "status"  # key: job id; status objects of nodes that are not heard
    OFFERS = "offers"  # key: cloud/job id
    REGIONS = "regions"  # key: cloud
    LOST = "lost"  # key: id of a job that the store does not know, or a storage to be listed


@dataclass(frozen=True)
class Call:
    """A slow call, by what it does and to what. Two of the same are never in flight at once."""

    kind: CallKind
    key: str


@dataclass(frozen=True)
class CallDone:
    """The outcome of a call since the last tick."""

    call: Call
    error: ProviderError | None = None
    problem: str = ""  # anything else that went wrong: the outcome is unknown
    generation: int = 0  # GENERATION: the number that was taken
    name: str = ""  # HOLD: the checkpoint that is held now
    ended_s: float = 0.0
    news: bool = True  # False: a routine look that found everything as it was; nobody need be woken for it


@dataclass(frozen=True)
class Limits:
    """Times of one controller; the defaults are the protocol's."""

    lease_s: float
    lease_margin_s: float
    silent_after_s: float
    launch_lag_s: float  # a provider's: how long a fresh instance may be missing from a listing
    token_life_s: float  # a provider's: how long a launch token is remembered
    boot_limit_s: float  # from listed to the agent's first report
    prepare_limit_s: float
    drain_limit_s: float
    instance_life_max_s: float
    notice_s: float | None = None  # how long before the end the cloud warns, at best; None: not known
    first_hour_free: bool = False  # the cloud charges nothing if *it* ends a spot instance in its first hour
    gang_limit_s: float = 900.0  # from a gang's first machine to its last: else it is tried elsewhere
    orphan_grace_s: float = 600.0  # a machine of an unknown job is watched for so long before it is ended


@dataclass(frozen=True)
class JobView:
    now_s: float
    now_at: float
    job: Job
    progress: Progress
    attempts: tuple[Attempt, ...]  # the open ones, the newest closed one, and the one the pointer names
    instances: tuple[InstanceView, ...]  # all that are not gone
    pointer: PointerSeen
    offers: tuple[Offer, ...] | None  # None: not known yet
    blocks: tuple[Block, ...]
    in_flight: frozenset[Call]
    done: tuple[CallDone, ...]
    limits: Limits
    dice: tuple[str, ...]  # fresh random ids, so that the decision needs no randomness
    # For how long this controller could read API and bucket, since it started or since an owner whose
    # machine it does not know has left a sign of life in the bucket.
    listening_s: float = 0.0
    spent_usd: float = 0.0
