"""The seams between the agent's loop and its node: trainer, folders, notices, logs, disk and power.

`outlast.node` implements them on a real machine, the simulation in a virtual one; the loop, which decides
everything, is the same. A method may block (the loop calls each port from the one task that owns it), and
raises NodeTrouble for what went wrong on the machine itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from outlast.ports import Source
from outlast.protocol.messages import Work, WriterRef
from outlast.protocol.objects import Manifest
from outlast.restore import Sink
from outlast.save.types import StableCopy
from outlast.trainer_contract import SaveAnswer, SaveRequest


class NodeTrouble(Exception):
    """Something on this machine failed. `phase` and `fatal` are those of the Failure it may become."""

    def __init__(self, phase: str, message: str, *, fatal: bool = False, tail: str = "") -> None:
        super().__init__(message)
        self.phase = phase
        self.fatal = fatal
        self.tail = tail


@dataclass(frozen=True)
class TrainerOrder:
    """All that one start of the trainer needs. `command` already holds the resume arguments."""

    command: str
    env: Mapping[str, str]  # the job's and ours; the trainer also inherits a plain PATH, HOME, …
    generation: int
    work_dir: str = ""
    resume_path: str = ""  # "": from the beginning
    resume_step: int | None = None
    environment: str = ""  # the folder of a virtual environment
    signal: str = ""  # sent to the main process when a save is asked for; "": only the control file


@dataclass(frozen=True)
class TrainerExit:
    code: int  # 128 + n for signal n, as a shell says it
    tail: str = ""  # the last lines of output


@dataclass(frozen=True)
class TrainerProgress:
    """What the trainer says of itself, if it imports `outlast`; all unknown for any other command."""

    step: int | None = None  # last finished step
    done: bool = False  # it called `outlast.done()`: exit 0 is the end of the work, asked to leave or not
    polls: bool = False  # it reads the control file: asked to leave, it saves and exits by itself
    answer: SaveAnswer | None = None  # to the last request
    metrics: Mapping[str, float] = field(default_factory=dict)
    stall_s: float | None = None  # how long its last save made the training wait


class Trainer(Protocol):
    """The user's process tree. At most one lives; the agent's death kills all of it."""

    def start(self, order: TrainerOrder) -> None:
        """Raises NodeTrouble (phase "trainer")."""

    def ask_save(self, request: SaveRequest) -> bool:
        """Asks for a checkpoint: control file, and for who does not read it the signal, main process only.

        True when the signal was sent: it can't be taken back, nor say whether to leave. False when there
        was no need, or the process has no handler for it. A trainer that is gone is no error.
        """

    def withdraw_save(self) -> None:
        """Takes the request back, as far as the trainer has not seen it."""

    def poll(self) -> TrainerExit | None:
        """How the main process ended; None while it runs or was never started. Never blocks."""

    def pids(self) -> tuple[int, ...]:
        """Every living process of the tree, for looking who has a file open. Any task may call this."""

    def progress(self) -> TrainerProgress: ...

    def kill(self, grace_s: float) -> bool:
        """Ends the whole tree: SIGTERM, SIGKILL after `grace_s`, until none is left; within a limit.

        False: something is still there (a process in uninterruptible sleep); call again.
        """


@dataclass(frozen=True)
class Places:
    """Absolute paths that the trainer is told."""

    work_dir: str  # the trainer's current folder
    checkpoint_dir: str
    attempt_dir: str  # new for each attempt: control files and progress
    environment: str = ""  # the virtual environment that it runs in; "": whatever the node has


@dataclass(frozen=True)
class Ear:
    """Who hears of what takes long: facts for the event log, and lines on how far it is."""

    fact: Callable[[str, str, dict[str, str]], None]
    moved: Callable[[str], None]


def _unheard(*_: object) -> None:
    """Nobody listens."""


DEAF = Ear(_unheard, _unheard)


class Workplace(Protocol):
    """The job's folder on the node: code, set-up, and where checkpoints come back to."""

    def prepare(self, work: Work, cancelled: Callable[[], bool], ear: Ear) -> str:
        """Fetches, verifies and unpacks the code, runs `setup`, and has the environment that `install` fills
        brought or made; returns one line on what was done.

        Safe to repeat; what this node has finished for the same code and text is not run again.
        Raises NodeTrouble (phase "code" or "setup"), and BucketError while the code can't be had.
        """

    def places(self, work: Work, generation: int) -> Places: ...

    def sink(self, work: Work) -> Sink:
        """Where a checkpoint is restored to: under the checkpoint folder, by the name its trainer expects."""

    def resume_from(self, work: Work, manifest: Manifest) -> str:
        """What the trainer is told to resume from, once it is restored: a folder, or its only file."""


class Environments(Protocol):
    """What `install` has made, for the nodes that come after this one."""

    def keep(self, work: Work, busy: Callable[[], bool], off: Callable[[], bool], ear: Ear) -> None:
        """Brings what `prepare` left here to the bucket, unless it is there. It may take minutes, waits while
        `busy`, and raises nothing: training goes on without, and `ear` hears why."""

    def forget(self) -> None:
        """The job is done: nothing of it is kept any more. Raises nothing."""


@dataclass(frozen=True)
class SaveLook:
    """What a look at the folder must know of the trainer."""

    pids: Iterable[int] = ()  # the trainer's tree; found, at some cost, when gone through
    exited_badly: bool = False  # then only a framework's own marker confirms a checkpoint
    ended_well: bool = False  # nobody writes any more: one look is enough
    step: int | None = None  # of the trainer, for checkpoints without a number in their name


@dataclass(frozen=True)
class Quarantined:
    """A complete save that the health gate refused; it was moved out of the trainer's folder."""

    step: int
    why: str
    begun_at: float = 0.0  # as of its copy


@dataclass(frozen=True)
class SaveSeen:
    """What one look at the checkpoint folder found."""

    copy: StableCopy | None = None  # the newest complete save not handed out before
    discarded: tuple[str, ...] = ()  # one line each: what was seen and why it can't be used
    pending: bool = False  # something is there that is not complete yet
    warnings: tuple[str, ...] = ()  # one line each: what a person should hear
    disk_free: int | None = None  # bytes, on the folder's disk, when a copy was found
    quarantined: tuple[Quarantined, ...] = ()  # newer than `copy`; in the order of their steps


class Saves(Protocol):
    """Finds complete checkpoints in the trainer's folder and takes stable copies of them."""

    def begin(self, work: Work, resume: Manifest | None, label: str) -> tuple[str, ...]:
        """A trainer is about to start from that restored checkpoint (None: from nothing).

        Everything else in the folder that looks like a checkpoint is moved aside, for a framework that
        resumes from the highest number would take a torn or an abandoned one. One line for each.
        """

    def scan(self, look: SaveLook) -> SaveSeen: ...

    def committed(self, copy: StableCopy) -> None:
        """It is durable: the generic rule compares the next one with it."""


@dataclass(frozen=True)
class NoticeSeen:
    kind: str  # terminate, rebalance, shutdown
    deadline_in_s: float | None = None  # from now, measured on the cloud's own clock
    detail: str = ""


class NoticeUnknown(Exception):
    """The metadata service can't be asked: that is not the same as no notice."""


class NoticeSource(Protocol):
    def poll(self) -> tuple[NoticeSeen, ...]:
        """All notices that stand now. Raises NoticeUnknown."""


@dataclass(frozen=True)
class OutputFile:
    """A quiet file that matches `outputs:`; `stamp` changes when the file does."""

    path: str  # relative to the work folder, with `/`
    size: int
    stamp: str
    source: Source


class Outputs(Protocol):
    """The files that the job leaves."""

    def scan(self, patterns: tuple[str, ...], *, quiet: bool) -> tuple[OutputFile, ...]:
        """Matching files by path. `quiet`: only those that have not changed for a while."""

    def has(self, path: str, size: int, digest: str) -> bool: ...

    def write(self, path: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Brings one back, temp then rename. Raises NodeTrouble; a path out of the folder is refused."""


class LogShip(Protocol):
    """What the trainer, the set-up and the agent print, in a local file, on its way to the bucket."""

    def say(self, line: str) -> None:
        """A line of the agent's own."""

    def peek(self, limit_bytes: int) -> bytes:
        """The next bytes that were not shipped; b"" when there are none."""

    def shipped(self, count: int) -> None: ...


@dataclass(frozen=True)
class NodeMemory:
    """The few facts that must outlive the agent's process, as `Disk` keeps them."""

    generation: int = 0
    rank: int = 0
    attempt: str = ""
    writer: str = ""  # chosen, and durable here, before the first claim of that generation; "": none
    past: tuple[WriterRef, ...] = ()  # of earlier assignments: a late claim of theirs is released at once


class Disk(Protocol):
    def load(self) -> NodeMemory: ...

    def save(self, memory: NodeMemory) -> None:
        """Durable on return. Raises NodeTrouble."""

    def alive(self) -> None:
        """Touches the file that the dead-man switch watches."""


class Power(Protocol):
    def off(self, why: str) -> None:
        """Switches the machine off; may return, and may be asked again."""


@dataclass(frozen=True)
class Node:
    """Everything that touches the machine, each port used by one task only."""

    trainer: Trainer
    workplace: Workplace
    saves: Saves
    notices: NoticeSource
    outputs: Outputs
    logs: LogShip
    disk: Disk
    power: Power
    environments: Environments | None = None  # None: nothing is kept from here
