"""The seams of the controller: each has one contract suite that every implementation passes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from outlast.protocol.limits import FENCED_OFF_S, OVER_OFF_S
from outlast.protocol.messages import BucketKeys, Command, Reply, Report
from outlast.protocol.objects import Pointer
from outlast_orchestrator.core.events import Event
from outlast_orchestrator.core.types import (
    Attempt,
    Block,
    FactMark,
    Instance,
    Job,
    LaunchRequest,
    Offer,
    Progress,
    Want,
)
from outlast_orchestrator.core.view import Call, CallDone, Heard, RegionListing


class Clock(Protocol):
    """Time, waiting and fresh ids. The real one is in `controller/clock.py`, the other in `simulate/`."""

    def monotonic_s(self) -> float: ...

    def wall_s(self) -> float: ...

    def token(self, nbytes: int) -> str: ...


@dataclass(frozen=True)
class Term:
    """A leadership. A restored store repeats numbers, so the holder's random id belongs to it."""

    number: int
    holder: str


Row = Attempt | Instance | Progress | Block | FactMark


@dataclass(frozen=True)
class Rows:
    """What a tick needs of the store, each in the order of the method of its name."""

    jobs: Sequence[Job]
    progress: Sequence[Progress]
    attempts: Sequence[Attempt]  # as `open_attempts`
    instances: Sequence[Instance]  # not gone
    blocks: Sequence[Block]
    damaged: Mapping[str, str]


class Store(Protocol):
    """Jobs, attempts, instances and events. Raises StoreError; with a term that is over, Deposed."""

    def owner(self) -> str:
        """The random id that was born with this store; it is in every tag and every pointer."""

    # leadership
    def lead(self, holder: str, ttl_s: float) -> Term | None:
        """Takes or renews the leadership; None while another holder's has not expired."""

    def leads(self, term: Term) -> bool: ...

    def resign(self, term: Term) -> None: ...

    # the leader's rows
    def commit(
        self, term: Term, rows: Sequence[Row], events: Sequence[Event], unblock: Sequence[str] = ()
    ) -> None:
        """All or nothing. Raises Deposed when the term is not the living one."""

    def rows(self) -> Rows:
        """All of a tick, read together. The same object again means that nothing has changed."""

    def progress(self) -> list[Progress]: ...

    def attempts(self, job: str | None = None) -> list[Attempt]:
        """All attempts by (job, generation)."""

    def open_attempts(self) -> list[Attempt]:
        """Those not closed, and each job's newest closed one."""

    def instances(self, job: str | None = None, *, gone: bool = True) -> list[Instance]: ...

    def blocks(self) -> list[Block]: ...

    def damaged(self) -> dict[str, str]:
        """By job, in words: rows that can't be read. `jobs`, `progress`, `open_attempts`, `blocks` and all
        the instances that are not gone leave them out; "" is the controller's own. Such a job is unknown:
        what is missing is no proof of anything."""

    def fact_marks(self) -> dict[tuple[str, str], int]:
        """By (launch id, boot), of the instances that are not gone: facts up to here are in the log."""

    def forget_events(self, term: Term, before_at: float) -> int:
        """Retention: drops events before then, of jobs that are over and of the controller itself."""

    # people's rows
    def submit(self, job: Job, event: Event) -> None:
        """Adds a job. Raises UserError when the name is taken by a living job."""

    def wish(self, job: Job, event: Event) -> None:
        """Replaces a job's row by one with a higher `wanted_number`; raises StoreError when it is stale."""

    def jobs(self) -> list[Job]: ...

    def job(self, name_or_id: str) -> Job | None:
        """By id, or the newest with that name."""

    # events and tokens
    def events(self, job: str | None, after: int, limit: int) -> list[Event]:
        """Oldest first, with seq > after."""

    def last_events(self, job: str, limit: int) -> list[Event]:
        """The newest, oldest first."""

    def add_token(self, name: str, token_hash: str, scope: str, expires_at: float) -> None: ...

    def token(self, token_hash: str) -> tuple[str, str, float] | None:
        """(name, scope, expires_at) or None. A node's own: (launch id, "node", end of its longest life)."""


class Provider(Protocol):
    """One cloud. Raises ProviderError and nothing else."""

    name: str

    def offers(self, want: Want) -> list[Offer]: ...

    def launch(self, request: LaunchRequest) -> None:
        """Same token = same instance. Returns nothing: the truth is what instances() lists."""

    def regions(self) -> list[str]:
        """All configured regions: the sweep looks at each."""

    def instances(self, region: str) -> RegionListing:
        """One batched call; everything that carries our tag. A failed region is Unknown, not empty."""

    def terminate(self, instance: Instance) -> None:
        """Repeated until Gone; an instance that does not exist is success."""

    def check(self) -> list[str]:
        """Problems for `doctor`, each one line with its mend."""


@dataclass(frozen=True)
class AgentConfig:
    """What the agent needs to start: everything else comes with its first commands."""

    api_url: str
    token: str
    job: str
    owner: str
    instance: str  # launch id
    storage: str
    lease_s: float
    over_off_s: float = OVER_OFF_S
    fenced_off_s: float = FENCED_OFF_S
    cloud: str = ""  # of the instance; they go into the pointer, for a controller that lost its store
    region: str = ""
    instance_id: str = ""  # the cloud's
    job_keys: bool = False  # the bucket's keys come from this controller, for the job alone


class Credentials(Protocol):
    """Keys for the bucket that reach the prefix of one job and nothing else, for a while."""

    @property
    def about(self) -> str:
        """Where they come from, for people."""

    def issue(self, storage: str, job: str) -> BucketKeys:
        """Raises outlast.ports.BucketError: Denied where a person has to mend something. Slow."""


class Remote(Protocol):
    """Runs things on a node. Raises ProviderError: after all but Transient the machine is of no use."""

    def install(self, instance: Instance, config: AgentConfig) -> None:
        """Puts the agent there and starts it, once: a second call finds it running with this token."""


class Nodes(Protocol):
    """What agents said, and what they are told: shared between the tick and the API. Thread-safe.

    Lives in memory only: after a restart of the controller every node is unheard, never silent.
    """

    def heard(self, launch_ids: Iterable[str] | None = None) -> dict[str, Heard]:
        """By launch id, of all or of these; `silent_s` as far as the API could be reached (see `account`)."""

    def account(self, readable: bool, unreadable: Collection[str] = ()) -> None:
        """Called by every tick: lets silence grow by the time since the last call, if all could be read.

        A long gap between two calls (a suspended controller) counts as nothing. `unreadable`: launch ids
        whose bucket could not be read; theirs does not grow.
        """

    def sign_of_life(self, launch_id: str, report: Report) -> None:
        """A status object in the bucket has changed: counts as heard."""

    def tell(self, launch_id: str, commands: tuple[Command, ...]) -> None:
        """What replies to this node carry from now on; a change wakes its hanging request."""

    def facts_recorded(self, launch_id: str, boot: str, until: int) -> None:
        """Facts up to this id are in the event log; the agent may drop them."""

    def forget(self, launch_id: str) -> None: ...

    # the API's side
    def receive(self, report: Report) -> Reply:
        """Takes a report, wakes the tick when something in it changed, and answers."""

    def told(self, launch_id: str) -> Reply:
        """What replies to this node carry right now; the plain default for a node that was told nothing."""

    def watch(self, launch_id: str, changed: Callable[[], None]) -> Callable[[], None]:
        """Has `changed` called, from any thread, when what is told changes; returns how to stop it."""

    def connected(self, launch_id: str) -> None: ...

    def disconnected(self, launch_id: str) -> None:
        """The node's hanging connection ended without our doing: it counts as closed, and wakes the tick."""


class Pointers(Protocol):
    """The controller's view of the jobs' buckets. Raises core.errors.BucketError."""

    def read(self, job: Job) -> Pointer | None:
        """Raises BucketError (unreachable, denied) or Garbage."""

    def take_generation(self, job: Job, at_least: int, attempt: str) -> int: ...

    def hold(self, job: Job, name: str) -> str:
        """Wishes to keep this checkpoint for a restart, and none for any other; returns `name`."""

    def status_bodies(self, job: Job, keys: Sequence[str]) -> dict[str, bytes]:
        """The status objects under those keys that exist."""

    def jobs(self, storage: str) -> list[str]:
        """The ids of all jobs that have something there: lists everything, so it may take long."""


class Calls(Protocol):
    """Runs slow calls beside the tick."""

    def start(self, call: Call, run: Callable[[], CallDone]) -> bool:
        """False when the same call is in flight already."""

    def in_flight(self) -> frozenset[Call]: ...

    def collect(self) -> list[CallDone]:
        """What finished since the last collect."""


class Policy(Protocol):
    """Orders the offers that a job could take; the first is tried first. Pure."""

    def __call__(self, job: Job, offers: Sequence[Offer], spent_usd: float) -> Sequence[Offer]: ...
