"""The environment's task beside a training: begun with it, behind every checkpoint, over with it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

from tests.agent.loop.scene import ASSIGN, WORK, Scene, copy
from tests.fakes.bucket import MemoryBucket

from outlast.cadence import Pace
from outlast.clock import SystemRuntime
from outlast.crew import Crew
from outlast.news import PrepareMoved, Tick
from outlast.node_ports import Ear, Node
from outlast.protocol.messages import Work
from outlast.tasks.environment import EnvironmentTask
from outlast.view import AgentView, Plan, Stage

WAIT_S = 30.0
INSTALL = replace(WORK, install="pip install it")


@dataclass
class Kept:
    """The port: it notes what it is asked."""

    calls: list[Any] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)

    def keep(self, work: Work, busy: Any, off: Any, ear: Ear) -> None:
        self.calls.append((work, busy, off, ear))
        self.asked.set()

    def forget(self) -> None:
        self.calls.append("forget")
        self.asked.set()


class Nothing:
    """Stands for every other port: whatever is asked of it has no answer for now."""

    witness = True

    def __getattr__(self, name: str) -> Any:
        def never(*_: object, **__: object) -> Any:
            threading.Event().wait()

        return never


def crew(kept: Kept) -> Crew:
    nothing: Any = Nothing()
    node = Node(
        nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing, environments=kept
    )  # fmt: skip
    identity = Scene().view.identity
    pace = Pace(prefetch_every_s=0)
    return Crew(identity, SystemRuntime(), nothing, MemoryBucket(), node, lambda news: None, pace)


def training(work: Work = INSTALL, rank: int = 0) -> tuple[AgentView, AgentView]:
    """Before its trainer lives, and after."""
    view = Scene().running().view
    assert view.assignment is not None
    assignment = replace(view.assignment, work=work, rank=rank)
    alive = replace(view, assignment=assignment)
    starting = replace(assignment.trainer, stage=Stage.STARTING)
    return replace(view, assignment=replace(assignment, trainer=starting)), alive


def test_it_is_kept_once_the_training_has_begun_and_gives_way_to_checkpoints() -> None:
    kept = Kept()
    one = crew(kept)
    before, after = training()
    one.follow(before, before, Tick())
    assert kept.calls == []
    one.follow(before, after, Tick())
    assert kept.asked.wait(WAIT_S)
    ((work, busy, off, _),) = kept.calls
    assert work == INSTALL
    assert (busy(), off()) == (False, False)
    assert after.assignment is not None
    saving = replace(after.assignment.saving, under_way=copy(8), uploading=True)
    uploads = replace(after, assignment=replace(after.assignment, saving=saving))
    one.follow(after, uploads, Tick())
    assert busy()
    one.follow(uploads, after, Tick())
    assert (busy(), off()) == (False, False)


def test_what_leaves_calls_it_off() -> None:
    kept = Kept()
    one = crew(kept)
    before, after = training()
    one.follow(before, after, Tick())
    assert kept.asked.wait(WAIT_S)
    off = kept.calls[0][2]
    assert after.assignment is not None
    leaving = replace(after, assignment=replace(after.assignment, plan=Plan.SAVE))
    one.follow(after, leaving, Tick())
    assert off(), "a machine that is being taken has no time for it"


def test_of_a_job_that_is_done_it_is_forgotten() -> None:
    kept = Kept()
    task = EnvironmentTask(SystemRuntime(), kept, lambda news: None)
    task.forget()
    task.keep(INSTALL)
    assert kept.asked.wait(WAIT_S)
    kept.asked.clear()
    task.forget()
    assert kept.asked.wait(WAIT_S)
    assert kept.calls[0][2]()
    assert kept.calls[1:] == ["forget"]


def test_a_job_without_install_and_a_node_that_follows_keep_nothing() -> None:
    kept = Kept()
    for work, rank in ((WORK, 0), (INSTALL, 1)):
        one = crew(kept)
        before, after = training(work, rank)
        one.follow(before, after, Tick())
    assert kept.calls == []


def test_status_says_how_far_it_is() -> None:
    scene = Scene()
    scene.told(replace(ASSIGN, work=INSTALL))
    assert scene.why == "preparing code and set-up"
    scene.hear(PrepareMoved(1, "restoring the environment, 1.2 of 2.0 GB"))
    assert scene.why == "restoring the environment, 1.2 of 2.0 GB"
    scene.hear(PrepareMoved(2, "of another generation"))
    assert scene.why == "restoring the environment, 1.2 of 2.0 GB"
