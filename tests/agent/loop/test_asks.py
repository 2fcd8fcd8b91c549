"""When the trainer is asked for a save while it stays."""

from __future__ import annotations

from dataclasses import replace

from tests.agent.loop.scene import ASSIGN, WORK, Scene, none_of, only

from outlast.acts import AskSave
from outlast.protocol.messages import CheckpointPlan, Command, CommandKind


def test_a_save_is_asked_for_when_the_interval_is_over() -> None:
    work = replace(WORK, checkpoint=CheckpointPlan(every_s=30.0))
    scene = Scene().running()
    scene.view = replace(scene.view, assignment=replace(scene.assignment, work=work))
    assert scene.later(29.0) == []
    assert not only(scene.later(1.0), AskSave).final
    assert scene.later(1.0) == []
    scene.saves(4)
    scene.uploads(4)
    assert none_of(scene.later(29.0), AskSave)
    only(scene.later(1.0), AskSave)


def test_a_person_s_wish_for_a_save_is_obeyed_once() -> None:
    scene = Scene().running()
    wish = Command(CommandKind.SAVE, 1, why="before the weekend")
    only(scene.told(ASSIGN, wish), AskSave)
    assert scene.told(ASSIGN, wish) == []
