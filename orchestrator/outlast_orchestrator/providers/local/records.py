"""What the local cloud keeps of its instances, tokens and faults, across its own restarts. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class State(str, enum.Enum):
    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"  # the end is decided and `end_code` says why; some process may be left
    ENDED = "ended"


class EndCode(str, enum.Enum):
    INTERRUPTED = "Server.SpotInstanceTermination"
    BY_REQUEST = "Client.UserInitiatedShutdown"
    GUEST = "Client.InstanceInitiatedShutdown"
    HOST = "Server.HostFailure"
    NEVER_RAN = "Server.InternalError"


@dataclass(frozen=True)
class Interruption:
    """The market's decision on one instance. `notice_at` None: it dies without a notice."""

    dies_at: float
    notice_at: float | None
    silent: bool = False


@dataclass(frozen=True)
class Order:
    """A launch as it was asked for: what a repeated token is compared with."""

    token: str
    launch_id: str
    owner: str
    job: str
    region: str
    zone: str
    instance_type: str
    market: str
    disk_gb: int
    max_life_s: float
    count: int = 1
    min_count: int = 1
    user_data: str = ""


@dataclass(frozen=True)
class Taken:
    """A launch token that was used, and for what."""

    order: Order
    at: float
    instances: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    id: str
    order: Order
    price_usd_h: float
    mark: str  # in the environment of every process of this instance
    created_at: float
    metadata_port: int
    relay_port: int
    state: State = State.PENDING
    pid: int = 0  # of its supervisor
    pid_started: int = 0  # in the kernel's ticks: tells it from a later process of the same number
    api: str = ""  # host:port that the relay leads to
    started_at: float | None = None
    ended_at: float | None = None
    end_code: EndCode | None = None
    end_text: str = ""
    orderly: bool = False  # SIGTERM and grace before the end
    silent: bool = False  # its connections are not closed by its death
    interruption: Interruption | None = None
    rebalance_at: float | None = None

    @property
    def zone(self) -> str:
        return self.order.zone

    @property
    def pool(self) -> tuple[str, str]:
        return (self.order.zone, self.order.instance_type)

    @property
    def living(self) -> bool:
        return self.state in (State.PENDING, State.RUNNING)

    def noticed(self, now: float) -> bool:
        return (
            self.interruption is not None
            and self.interruption.notice_at is not None
            and self.interruption.notice_at <= now
        )


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with the cloud until `until` (None: until it is cleared)."""

    kind: str  # refuse, fail_listing, lag_listing, throttle, lose_reply, silence, metadata_outage
    until: float | None = None
    zone: str = ""
    instance_type: str = ""
    market: str = ""
    region: str = ""
    instance: str = ""
    op: str = ""
    code: str = ""
    lag_s: float = 0.0
    times: int = 0  # lose_reply: how many are left


@dataclass(frozen=True)
class Step:
    """One line of a script: at that time, do that."""

    at: float
    do: str
    args: dict[str, str | float | bool | None] = field(default_factory=dict)
