"""What the end of a trainer means, as a table: success, failure, or only the end of this attempt."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from tests.agent.loop.scene import WORK, Scene, none_of, only

from outlast.acts import End, FinishOutputs, Release
from outlast.news import OutputsFinished, SaveAsked, Trouble
from outlast.node_ports import TrainerProgress
from outlast.protocol.messages import AgentState, CheckpointPlan
from outlast.trainer_contract import SaveAnswer
from outlast.verdict import failure_of

POLLS = TrainerProgress(step=5, polls=True)
DONE = TrainerProgress(step=9, polls=True, done=True)
LEAVING = replace(POLLS, answer=SaveAnswer("r", 5, leaving=True))


@dataclass(frozen=True)
class Case:
    name: str
    code: int
    progress: TrainerProgress
    noticed: bool = False
    interval: bool = False  # a save was asked for by the interval
    signalled: bool = False
    saves_after: int = 0
    end: int | None = None  # the code that the pointer is told; None: released


CASES = [
    Case("0, and nobody had asked", 0, TrainerProgress(), end=0),
    Case("0 after done(), although it was asked to leave", 0, DONE, noticed=True, end=0),
    Case("0 after a request to leave is not success", 0, TrainerProgress(), noticed=True),
    Case("0 of one that answers that it leaves", 0, LEAVING, noticed=True),
    Case("a failure in the middle of leaving is no verdict on the work", 1, POLLS, noticed=True),
    Case("a failure", 3, TrainerProgress(), end=3),
    Case("a failure after done()", 3, DONE, end=3),
    Case("0 of one that reads the control file and was only asked to save", 0, POLLS, interval=True, end=0),
    Case("0 of one that nothing could be asked", 0, TrainerProgress(), interval=True, end=0),
    Case("0 right after a signal", 0, TrainerProgress(), interval=True, signalled=True),
    Case(
        "0 after the save that a signal caused",
        0,
        TrainerProgress(),
        interval=True,
        signalled=True,
        saves_after=1,
    ),
    Case("0 long after a signal", 0, TrainerProgress(), interval=True, signalled=True, saves_after=2, end=0),
    Case("a failure after a signal", 3, TrainerProgress(), interval=True, signalled=True, end=3),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_an_exit_means(case: Case) -> None:
    scene = Scene().running()
    if case.interval:
        work = replace(WORK, checkpoint=CheckpointPlan(every_s=30.0))
        scene.view = replace(scene.view, assignment=replace(scene.assignment, work=work))
        scene.later(30.0)
        scene.hear(SaveAsked(1, case.signalled))
    if case.noticed:
        scene.notice(120.0)
    for number in range(case.saves_after):
        scene.saves(number + 1)
        scene.uploads(number + 1)
    acts = scene.exits(case.code, case.progress)
    if case.end == 0:
        only(acts, FinishOutputs)
        acts = scene.hear(OutputsFinished(1, "no outputs"))
    if case.end is None:
        assert only(acts, Release).then is AgentState.RELEASED
        assert none_of(acts, End)
    else:
        assert only(acts, End).code == case.end


def test_the_last_save_is_durable_before_the_end_is_told() -> None:
    scene = Scene().running()
    scene.saves(7)
    assert none_of(scene.exits(3), End)
    only(scene.uploads(7), End)


def test_success_waits_for_its_outputs_for_ever() -> None:
    scene = Scene().running()
    scene.exits(0)
    for _ in range(5):
        assert none_of(scene.hear(OutputsFinished(1, Trouble("503"))), End, Release)
        assert none_of(scene.later(600.0), End, Release)
    assert only(scene.hear(OutputsFinished(1, "3 files")), End).code == 0


def test_without_time_for_the_outputs_it_is_no_success() -> None:
    scene = Scene().running()
    scene.exits(0)
    scene.notice(40.0)
    assert none_of(scene.later(29.0), End, Release)
    only(scene.later(1.0), Release)


@pytest.mark.parametrize(
    ("tail", "code", "named"),
    [
        ("torch.cuda.OutOfMemoryError: CUDA out of memory.", 1, "out of memory"),
        ("MemoryError", 1, "out of memory"),
        ("", 137, "SIGKILL"),
        ("", 139, "signal 11"),
        ("ValueError: loss is nan", 1, "NaN"),
        ("found Inf or NaN: non-finite gradients", 1, "NaN"),
        ("running nanny.py; KeyError: 'x'", 1, "failed"),
        ("SyntaxError", 1, "failed"),
    ],
)
def test_failures_are_named(tail: str, code: int, named: str) -> None:
    failure = failure_of(code, tail)
    assert named in failure.message
    assert failure.exit_code == code
