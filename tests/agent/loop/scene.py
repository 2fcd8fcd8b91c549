"""Plays an agent's view without tasks or threads: hear news, let time pass, see what it decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from outlast.acts import Act
from outlast.apply import apply
from outlast.bucket.outcomes import Applied
from outlast.decide import decide
from outlast.fold import fold
from outlast.news import (
    ClaimAnswered,
    Committed,
    Killed,
    News,
    NoticesSeen,
    Prepared,
    Remembered,
    ReportAnswered,
    Restored,
    SaveFound,
    Settled,
    Started,
    Tick,
    Told,
    TrainerLooked,
    Uploaded,
)
from outlast.node_ports import NoticeSeen, TrainerExit, TrainerProgress
from outlast.protocol.messages import (
    AgentState,
    CheckpointPlan,
    Command,
    CommandKind,
    Permission,
    Reply,
    Work,
)
from outlast.protocol.objects import Confidence, ManifestRef, Pointer, PointerState
from outlast.save.types import Draft, StableCopy
from outlast.telling import asking, report_due, said, state_of
from outlast.view import AgentView, Assignment, Identity, Resume

A = TypeVar("A", bound=Act)
WORK = Work(name="try", owner="own", revision=1, run="train", checkpoint=CheckpointPlan(dir="saves"))
ASSIGN = Command(CommandKind.ASSIGN, 1, attempt="a1", work=WORK)
RUN = Command(CommandKind.RUN, 1, permission=Permission())


def ref(step: int) -> ManifestRef:
    return ManifestRef(f"manifests/{step:09d}-g1-x.json", f"xxh3-128:{step}", step)


def pointer(head: ManifestRef | None = None, state: PointerState = PointerState.RUNNING) -> Pointer:
    kept = (head,) if head is not None else ()
    return Pointer(1, "own", "job", 1, "w", (), 1, state, head, kept, "")


def copy(step: int) -> StableCopy:
    return StableCopy(step, "outlast", Confidence.STRONG, (), lambda: None)


def draft(step: int) -> Draft:
    return Draft(f"{step:09d}-g1-x", step, "outlast", Confidence.STRONG, (), None)


@dataclass
class Scene:
    view: AgentView = field(
        default_factory=lambda: AgentView(
            Identity("job", "own", "l-1", "boot"), now_s=1000.0, woke_s=1000.0, alive_s=1000.0
        )
    )
    done: list[Act] = field(default_factory=list)
    why: str = ""

    def hear(self, *news: News) -> list[Act]:
        """What is decided on it, act by act, until nothing more is to be done."""
        for one in news:
            self.view = fold(self.view, one)
        acts: list[Act] = []
        for _ in range(20):
            decision = decide(self.view)
            self.why = decision.why
            if not decision.acts:
                self.done += acts
                return acts
            for act in decision.acts:
                self.view = apply(self.view, act)
                acts.append(act)
        raise AssertionError(f"the decision does not come to rest: {acts[-3:]}")

    def later(self, seconds: float) -> list[Act]:
        """Time passes, and the lease is kept."""
        now_s = self.view.now_s + seconds
        self.view = replace(self.view, now_s=now_s, alive_s=now_s)
        return self.hear(Tick())

    @property
    def assignment(self) -> Assignment:
        assert self.view.assignment is not None
        return self.view.assignment

    def is_(self, state: AgentState) -> bool:
        return state_of(self.view) is state

    def asks(self) -> bool:
        """A report that asks for the permission to claim would go out now."""
        return report_due(self.view, said(self.view)) and asking(self.view) is not None

    # the way to a running trainer

    def told(self, *commands: Command) -> list[Act]:
        """By the hanging request."""
        return self.hear(Told(Reply(commands)))

    def answered(self, *commands: Command) -> list[Act]:
        """In the answer to a report that was sent as things are now."""
        asked_for = asking(self.view)
        telling = replace(self.view.telling, reported_s=self.view.now_s, reported_state=said(self.view))
        self.view = replace(self.view, telling=telling)
        return self.hear(ReportAnswered(Reply(commands), asked_for))

    def waiting(self) -> Scene:
        self.told(ASSIGN)
        self.hear(Prepared(1, "ready"))
        self.hear(Remembered(1, "w"))
        return self

    def claimed(self, head: ManifestRef | None = None) -> Scene:
        self.waiting().answered(ASSIGN, RUN)
        self.hear(ClaimAnswered(1, Applied(pointer(head), "claimed")))
        return self

    def running(self, head: ManifestRef | None = None) -> Scene:
        self.claimed(head)
        self.hear(Restored(1, Resume("/saves/x", head.step, head) if head else Resume()))
        self.hear(Started(1, None))
        return self

    # what a trainer does

    def progress(self, progress: TrainerProgress) -> list[Act]:
        return self.hear(TrainerLooked(1, None, progress))

    def exits(self, code: int, progress: TrainerProgress | None = None, tail: str = "") -> list[Act]:
        """It ends by itself, and nothing is found in its folder any more."""
        ended = TrainerExit(code, tail)
        now = progress if progress is not None else self.assignment.trainer.progress
        acts = self.hear(TrainerLooked(1, ended, now))
        acts += self.hear(Killed(1, ended, now))
        return acts + self.hear(Settled(1))

    def dies(self) -> list[Act]:
        """It was killed by us."""
        acts = self.hear(Killed(1, TrainerExit(143), self.assignment.trainer.progress))
        return acts + self.hear(Settled(1))

    def saves(self, step: int, age_s: float = 0.0) -> list[Act]:
        return self.hear(SaveFound(1, copy(step), age_s))

    def uploads(self, step: int) -> list[Act]:
        acts = self.hear(Uploaded(1, draft(step)))
        return acts + self.hear(Committed(1, Applied(pointer(ref(step)), "committed")))

    def notice(self, seconds: float | None, kind: str = "terminate") -> list[Act]:
        return self.hear(NoticesSeen((NoticeSeen(kind, seconds),)))

    def withdrawn(self) -> list[Act]:
        return self.hear(NoticesSeen(()))


def only(acts: Sequence[Act], kind: type[A]) -> A:
    """The one act of that kind."""
    found = [act for act in acts if isinstance(act, kind)]
    assert len(found) == 1, f"expected one {kind.__name__} in {acts}"
    return found[0]


def none_of(acts: Sequence[Act], *kinds: type[Act]) -> bool:
    return not any(isinstance(act, kinds) for act in acts)
