"""Who asks for a change of the pointer, and every answer there can be. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from outlast.protocol.messages import Permission
from outlast.protocol.objects import InstanceRef, ManifestRef, Pointer


@dataclass(frozen=True)
class Identity:
    """Who writes: the job, the attempt, and the one process of it that may move the pointer."""

    owner: str
    job: str
    generation: int
    writer: str
    attempt: str = ""
    instances: tuple[InstanceRef, ...] = ()


@dataclass(frozen=True)
class ClaimAsk:
    """A wish to claim. `claimed`: this writer has claimed before, so an older pointer is an alarm."""

    me: Identity
    permission: Permission
    at: str
    claimed: bool = False


@dataclass(frozen=True)
class Write:
    """Allowed: write this over what was read."""

    pointer: Pointer
    why: str


@dataclass(frozen=True)
class Applied:
    """The pointer says what was asked for; nothing is left to write."""

    pointer: Pointer
    why: str


@dataclass(frozen=True)
class Mine:
    """The pointer is mine and running, but it is not the very write in question."""

    pointer: Pointer
    why: str


@dataclass(frozen=True)
class Wait:
    """Not allowed now, or not claimed yet: ask again later, with a fresh permission."""

    why: str


@dataclass(frozen=True)
class Over:
    """Mine, but released or ended: this writer never writes again."""

    pointer: Pointer
    why: str


@dataclass(frozen=True)
class Fenced:
    """Another attempt owns the job: the trainer must die, and nothing more may be written."""

    why: str


@dataclass(frozen=True)
class Stop:
    """Something that must not be. Nobody may start or go on from here; a person has to look."""

    why: str


@dataclass(frozen=True)
class Rebase:
    """The checkpoint can't be committed as it is: send its files anew, under a new name, on `head`."""

    head: ManifestRef | None
    why: str


ClaimVerdict = Write | Applied | Wait | Over | Fenced | Stop
OwnVerdict = Applied | Mine | Wait | Over | Fenced | Stop
