"""What happened in the world, as it really was: the ground truth that checkers judge by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from outlast_orchestrator.core.events import Event
from outlast_orchestrator.core.types import Attempt, Instance, Job, LaunchRequest, Progress

FROM_BACKUP = "backup"  # who wrote the rows that are there after a store was restored
DEADMAN_SAYS = "dead-man switch: nothing from the agent for"
STORE_RESTORED = "store restored"  # the kind of that fault


@dataclass(frozen=True)
class Wrote:
    """An object was written: when it took effect in the bucket, not when its writer learnt of it."""

    by: str  # process
    key: str  # from the bucket's root
    body: bytes
    before: bytes | None  # what it replaced


@dataclass(frozen=True)
class Deleted:
    by: str
    key: str


@dataclass(frozen=True)
class Fault:
    """Something that the world did to us on purpose. `machine` "": it concerns all of them."""

    kind: str
    text: str
    machine: str = ""
    until_s: float = 0.0


@dataclass(frozen=True)
class Launched:
    """A machine came to be."""

    machine: str
    request: LaunchRequest


@dataclass(frozen=True)
class LaunchAsked:
    request: LaunchRequest
    by: str = ""
    skew_s: float = 0.0  # how wrong the asking controller's wall clock is


@dataclass(frozen=True)
class LaunchAnswered:
    """What the controller was told of its call; "unsure" when it was told nothing."""

    token: str
    answer: str  # accepted, refused, unsure


@dataclass(frozen=True)
class Listed:
    """A complete listing as it was given to a controller."""

    region: str
    machines: tuple[str, ...]
    tokens: tuple[str, ...]
    by: str = ""  # that controller


@dataclass(frozen=True)
class TerminateAsked:
    machine: str
    by: str = ""


@dataclass(frozen=True)
class PointerKnown:
    """A controller has read the pointer of this job for the first time since it started."""

    by: str
    job: str


@dataclass(frozen=True)
class MachineEnded:
    machine: str
    why: str


@dataclass(frozen=True)
class Noticed:
    """The metadata service of a machine began to tell of its end (or stopped telling)."""

    machine: str
    deadline_s: float | None  # None: withdrawn


@dataclass(frozen=True)
class AgentBorn:
    process: str
    machine: str


@dataclass(frozen=True)
class ProcessDied:
    """`crash` is the exception that left one of its tasks: never a planned fault."""

    process: str
    why: str
    crash: str = ""


@dataclass(frozen=True)
class TrainerStarted:
    machine: str
    job: str
    generation: int
    step: int  # finished steps that it starts from
    chain: str  # the content of the checkpoint that it starts from; "" at the beginning


@dataclass(frozen=True)
class TrainerSaved:
    machine: str
    job: str
    generation: int
    step: int
    final: bool
    bad: bool = False  # what is in it can't be used


@dataclass(frozen=True)
class TrainerEnded:
    machine: str
    job: str
    generation: int
    step: int  # last finished step
    code: int | None  # None: killed, or its machine died
    done: bool = False  # all steps are done
    bad: bool = False  # its state was lost


@dataclass(frozen=True)
class StoreWrote:
    """One commit of a controller, or a person's wish."""

    by: str
    rows: tuple[Attempt | Instance | Progress | Job, ...]
    events: tuple[Event, ...]


Fact = (
    Wrote
    | Deleted
    | Fault
    | Launched
    | LaunchAsked
    | LaunchAnswered
    | Listed
    | TerminateAsked
    | PointerKnown
    | MachineEnded
    | Noticed
    | AgentBorn
    | ProcessDied
    | TrainerStarted
    | TrainerSaved
    | TrainerEnded
    | StoreWrote
)


class Witness(Protocol):
    """Whoever looks on: the checkers, and the teller of the story."""

    def see(self, at_s: float, fact: Fact) -> None: ...


class History:
    """Passes every fact on, in order, and keeps a hash of them all if somebody will ask for it."""

    def __init__(self, witnesses: Sequence[Witness] = (), *, keep_digest: bool = False) -> None:
        self._witnesses = list(witnesses)
        self._keep_digest = keep_digest
        self._hash = hashlib.sha256()
        self.count = 0

    def add(self, witness: Witness) -> None:
        self._witnesses.append(witness)

    def record(self, at_s: float, fact: Fact) -> None:
        self.count += 1
        if self._keep_digest:
            self._digest(at_s, fact)
        for witness in self._witnesses:
            witness.see(at_s, fact)

    def _digest(self, at_s: float, fact: Fact) -> None:
        if isinstance(fact, Wrote):
            self._hash.update(f"{at_s!r} {fact.by} {fact.key} {len(fact.body)}\n".encode() + fact.body)
        else:
            self._hash.update(f"{at_s!r} {fact!r}\n".encode())

    def digest(self) -> str:
        return self._hash.hexdigest()
