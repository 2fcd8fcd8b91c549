"""What a decision may ask for. Pure.

`act` carries them out in this order: rows and events in one transaction under the term; then calls, each
after a look whether we still lead; then what the nodes are told. So an intent is always saved before its
side effect, and a permission is only given after what it rests on is durable.
"""

from __future__ import annotations

from dataclasses import dataclass

from outlast.protocol.messages import Command
from outlast_orchestrator.core.events import Event
from outlast_orchestrator.core.types import Attempt, Block, Instance, Job, Progress


@dataclass(frozen=True)
class Save:
    """Insert or replace this row."""

    row: Attempt | Instance | Progress | Block


@dataclass(frozen=True)
class Rewish:
    """A wish that turned out to be older than what runs: replaced by this one, before the rows."""

    job: Job
    why: str


@dataclass(frozen=True)
class Unblock:
    scope: str


@dataclass(frozen=True)
class Log:
    event: Event


@dataclass(frozen=True)
class Launch:
    """Make the launch call for this record; its intent is among the rows of the same decision."""

    instance: Instance


@dataclass(frozen=True)
class Terminate:
    instance: Instance


@dataclass(frozen=True)
class Install:
    """Put the agent on the machine and start it. Safe to repeat."""

    instance: Instance


@dataclass(frozen=True)
class TakeGeneration:
    """Create the first free `generations/<g>` with g ≥ at_least; the number comes back as a CallDone."""

    job: str
    at_least: int


@dataclass(frozen=True)
class Hold:
    """Have exactly this checkpoint held in the job's bucket for a restart; "": none. Safe to repeat."""

    job: str
    name: str


@dataclass(frozen=True)
class ReadPointer:
    job: str


@dataclass(frozen=True)
class ListRegion:
    cloud: str
    region: str


@dataclass(frozen=True)
class Tell:
    """What replies to this node carry from now on (level-triggered; replaces what they carried)."""

    launch_id: str
    commands: tuple[Command, ...]


Action = (
    Save
    | Rewish
    | Unblock
    | Log
    | Launch
    | Terminate
    | Install
    | TakeGeneration
    | Hold
    | ReadPointer
    | ListRegion
    | Tell
)


@dataclass(frozen=True)
class Decision:
    """What to do, why the job is as it is, and when to look again if nothing happens before."""

    actions: tuple[Action, ...]
    why: str
    wake_s: float | None = None  # monotonic
