"""What the loop's mailbox holds: one dataclass for each thing that can have happened. Pure.

News of an assignment carries its generation: what a task still says of an earlier one is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from outlast.bucket.outcomes import Applied, Fenced, Mine, Over, Rebase, Stop, Wait
from outlast.node_ports import NoticeSeen, TrainerExit, TrainerProgress
from outlast.protocol.messages import AgentState, Failure, Reply, WriterRef
from outlast.protocol.objects import GangStart
from outlast.save.types import Draft, StableCopy
from outlast.view import Resume


@dataclass(frozen=True)
class Trouble:
    """Something did not work now and may work later; tried again for ever."""

    why: str
    lasting: bool = False  # refused, not unreachable: a person may have to mend it


@dataclass(frozen=True)
class Tick:
    """Nothing but time has passed."""


@dataclass(frozen=True)
class ReportAnswered:
    reply: Reply
    asked_for: WriterRef | None  # the report said WAITING with this writer: RUN in the reply is a permission


@dataclass(frozen=True)
class ReportFailed:
    why: str


@dataclass(frozen=True)
class Told:
    """The hanging request was answered."""

    reply: Reply


@dataclass(frozen=True)
class Wrote:
    """A write to the controller or the bucket succeeded; it was sent at `sent_s`: that renews the lease."""

    sent_s: float


@dataclass(frozen=True)
class StatusDone:
    """The status object was written, or why it was not."""

    why: str = ""
    keyless: bool = False


@dataclass(frozen=True)
class NoticesSeen:
    seen: tuple[NoticeSeen, ...]


@dataclass(frozen=True)
class NoticesUnknown:
    why: str


@dataclass(frozen=True)
class ShutdownAsked:
    """The operating system, or a person, told this process to end; `limit_s` None: nobody says how long."""

    limit_s: float | None = None


@dataclass(frozen=True)
class FactSeen:
    kind: str
    why: str
    data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    generation: int
    outcome: str | Failure | Trouble


@dataclass(frozen=True)
class PrepareMoved:
    """How far the preparation is, in words."""

    generation: int
    line: str


@dataclass(frozen=True)
class Remembered:
    generation: int
    writer: str
    outcome: Failure | None = None


@dataclass(frozen=True)
class ClaimAnswered:
    generation: int
    outcome: Applied | Wait | Over | Fenced | Stop | Trouble


@dataclass(frozen=True)
class Joined:
    """The first node has claimed, and the gang starts from there."""

    generation: int
    outcome: GangStart | Wait | Over | Fenced | Trouble


@dataclass(frozen=True)
class LeaderSeen:
    """The status object of the gang's first node says something new."""

    generation: int
    state: AgentState
    step: int | None  # on its way to the bucket
    why: str = ""


@dataclass(frozen=True)
class Incomplete:
    """A checkpoint of a gang that can't be committed yet, or never: parts of other nodes are not there."""

    missing: tuple[int, ...]  # ranks
    skipped: tuple[int, ...]  # ranks that had replaced it by a newer save


@dataclass(frozen=True)
class Restored:
    generation: int
    outcome: Resume | Failure | Trouble


@dataclass(frozen=True)
class Started:
    generation: int
    outcome: Failure | None


@dataclass(frozen=True)
class TrainerLooked:
    generation: int
    exit: TrainerExit | None
    progress: TrainerProgress


@dataclass(frozen=True)
class SaveAsked:
    generation: int
    signalled: bool


@dataclass(frozen=True)
class Killed:
    """No process of the trainer is left."""

    generation: int
    exit: TrainerExit | None
    progress: TrainerProgress


@dataclass(frozen=True)
class SaveFound:
    generation: int
    copy: StableCopy
    age_s: float = 0.0  # since the trainer began to write it
    disk_free: int | None = None


@dataclass(frozen=True)
class SaveQuarantined:
    """The health gate refused a complete save."""

    generation: int
    step: int
    why: str
    age_s: float = 0.0  # since the trainer began to write it


@dataclass(frozen=True)
class SaveUnusable:
    generation: int
    why: str


@dataclass(frozen=True)
class Settled:
    generation: int


@dataclass(frozen=True)
class UploadMoved:
    generation: int
    done_bytes: int


@dataclass(frozen=True)
class Uploaded:
    """`None`: the copy can't be used after all; `why` says so."""

    generation: int
    outcome: Draft | Trouble | None
    why: str = ""


@dataclass(frozen=True)
class PartLeftOut:
    generation: int
    step: int
    outcome: Trouble | None  # None: the first node can read it now


@dataclass(frozen=True)
class Committed:
    generation: int
    outcome: Applied | Mine | Rebase | Wait | Over | Fenced | Stop | Trouble | Incomplete


@dataclass(frozen=True)
class Pruned:
    generation: int
    outcome: Applied | Mine | Wait | Over | Fenced | Stop | Trouble


@dataclass(frozen=True)
class OutputsFinished:
    generation: int
    outcome: str | Trouble


@dataclass(frozen=True)
class Closed:
    """The answer to a release or an end."""

    generation: int
    outcome: Applied | Mine | Wait | Over | Fenced | Stop | Trouble


@dataclass(frozen=True)
class Looked:
    """What the pointer says of this attempt; the read began after its claim was known to be applied."""

    generation: int
    outcome: Applied | Mine | Wait | Over | Fenced | Stop


@dataclass(frozen=True)
class StraySeen:
    """The pointer shows a writer of an earlier assignment running."""

    writer: WriterRef


@dataclass(frozen=True)
class Recovered:
    writer: WriterRef
    outcome: Applied | Mine | Wait | Over | Fenced | Stop | Trouble


News = (
    Tick | ReportAnswered | ReportFailed | Told | Wrote | StatusDone | NoticesSeen | NoticesUnknown
    | ShutdownAsked | FactSeen | Prepared | PrepareMoved | Remembered | ClaimAnswered | Joined
    | LeaderSeen | Restored | Started | TrainerLooked | SaveAsked | Killed | SaveFound
    | SaveQuarantined | SaveUnusable | Settled | UploadMoved | Uploaded | PartLeftOut | Committed
    | Pruned | OutputsFinished | Closed | Looked | StraySeen | Recovered
)  # fmt: skip
