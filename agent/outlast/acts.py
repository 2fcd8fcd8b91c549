"""What the agent's decision may ask for. Pure.

Each act is carried out by the one task that owns what it touches; until its outcome comes back, the view
says that it is under way, so no act is ever asked for twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from outlast.protocol.messages import AgentState, Command, Permission
from outlast.save.types import StableCopy
from outlast.view import Plan


@dataclass(frozen=True)
class Begin:
    """Take this assignment on."""

    command: Command


@dataclass(frozen=True)
class Recover:
    """Release a writer of an earlier assignment that the pointer shows running."""


@dataclass(frozen=True)
class Prepare:
    """Code and set-up."""


@dataclass(frozen=True)
class Remember:
    """Choose a writer and make it durable on this disk."""


@dataclass(frozen=True)
class Claim:
    permission: Permission


@dataclass(frozen=True)
class Join:
    """Look whether the first node of the gang has claimed, and where the gang starts."""


@dataclass(frozen=True)
class Restore:
    """Fetch what the claim wrote as the head."""


@dataclass(frozen=True)
class Start:
    """Start the trainer."""


@dataclass(frozen=True)
class AskSave:
    final: bool
    why: str
    limit_s: float | None = None


@dataclass(frozen=True)
class Leave:
    """Use the time that is left like this."""

    plan: Plan
    why: str


@dataclass(frozen=True)
class Stay:
    """The reason to leave is gone, and the trainer still runs: take the request back."""


@dataclass(frozen=True)
class Kill:
    why: str
    grace_s: float


@dataclass(frozen=True)
class Settle:
    """The trainer is dead: look at its folder for the last time."""


@dataclass(frozen=True)
class Upload:
    copy: StableCopy
    skips: int | None = None  # of a gang: the step that the first node waits for, and that this node left out


@dataclass(frozen=True)
class LeaveOut:
    """Of a gang: the first node is told that this one has no part of that step, and never will."""

    step: int


@dataclass(frozen=True)
class Commit:
    """Manifest, then pointer."""


@dataclass(frozen=True)
class Prune:
    pass


@dataclass(frozen=True)
class FinishOutputs:
    """Upload what is missing of the outputs, and verify all of them in the bucket."""


@dataclass(frozen=True)
class Release:
    why: str
    then: AgentState = AgentState.RELEASED  # what the assignment is afterwards


@dataclass(frozen=True)
class End:
    code: int
    why: str


@dataclass(frozen=True)
class Over:
    """The assignment is over without a word in the pointer: nothing was claimed, or it is no longer ours."""

    state: AgentState
    why: str


@dataclass(frozen=True)
class PowerOff:
    why: str


@dataclass(frozen=True)
class Exit:
    """The agent's own process ends: told to and held by nothing, or alone and without a lease."""

    why: str
    code: int = 0


Act = (
    Begin
    | Recover
    | Prepare
    | Remember
    | Claim
    | Join
    | Restore
    | Start
    | AskSave
    | Leave
    | Stay
    | Kill
    | Settle
    | Upload
    | LeaveOut
    | Commit
    | Prune
    | FinishOutputs
    | Release
    | End
    | Over
    | PowerOff
    | Exit
)


@dataclass(frozen=True)
class Decision:
    """What to do now, and one line for people: what the node is doing, and why."""

    acts: tuple[Act, ...]
    why: str
