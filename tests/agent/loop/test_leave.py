"""Leaving: what a notice, a drain, a stop and a withdrawal do to a running trainer."""

from __future__ import annotations

from dataclasses import replace

from tests.agent.loop.scene import ASSIGN, Scene, none_of, only, pointer, ref

from outlast.acts import AskSave, Exit, Kill, Leave, PowerOff, Release, Stay, Upload
from outlast.bucket.outcomes import Applied
from outlast.cadence import leave_by_s
from outlast.decide import decide
from outlast.fold import fold
from outlast.news import Closed, Killed, Settled, ShutdownAsked, Tick, TrainerLooked, Trouble, Uploaded
from outlast.node_ports import TrainerExit, TrainerProgress
from outlast.protocol.messages import AgentState, Command, CommandKind
from outlast.protocol.objects import PointerState
from outlast.trainer_contract import SaveAnswer
from outlast.view import Plan

POLLS = TrainerProgress(step=5, polls=True)
DRAIN = Command(CommandKind.DRAIN, 1, why="moving", limit_s=60.0)
STOP = Command(CommandKind.STOP, 1, why="now")


def released(scene: Scene) -> None:
    scene.hear(Closed(1, Applied(pointer(state=PointerState.RELEASED), "released")))
    assert scene.is_(AgentState.RELEASED)


def test_a_notice_asks_for_a_final_save_and_the_trainer_is_stopped_only_after_it() -> None:
    scene = Scene().running()
    acts = scene.notice(120.0)
    assert only(acts, Leave).plan is Plan.SAVE
    assert only(acts, AskSave).final
    assert scene.is_(AgentState.DRAINING)
    assert scene.later(20.0) == []
    only(scene.saves(9), Upload)
    only(scene.later(5.0), Kill)
    acts = scene.dies()
    assert none_of(acts, Release)  # the save is still on its way
    only(scene.uploads(9), Release)
    released(scene)


def test_who_saves_again_and_again_is_not_leaving_by_itself() -> None:
    """Each of its saves would begin its time to settle anew, and it would train on until the deadline."""
    scene = Scene().running()
    scene.notice(120.0)
    scene.saves(9)
    assert none_of(scene.later(1.0), Kill)
    only(scene.saves(10), Kill)


def test_who_names_its_final_save_and_saves_again_is_not_leaving_either() -> None:
    scene = Scene().running()
    scene.progress(POLLS)
    scene.notice(120.0)
    scene.progress(replace(POLLS, answer=SaveAnswer("r", 9)))
    assert none_of(scene.saves(9), Kill)
    only(scene.saves(10), Kill)


def test_who_leaves_by_itself_is_not_killed() -> None:
    scene = Scene().running()
    scene.progress(POLLS)
    scene.notice(120.0)
    scene.saves(6)
    leaving = replace(POLLS, answer=SaveAnswer("r", 6, leaving=True))
    assert none_of(scene.progress(leaving), Kill)
    assert none_of(scene.later(30.0), Kill)
    scene.uploads(6)
    assert only(scene.exits(0, leaving), Release).then is AgentState.RELEASED


def test_who_names_the_step_of_its_final_save_is_believed() -> None:
    """A periodic save that was complete in the same moment is not taken for the final one."""
    scene = Scene().running()
    scene.progress(POLLS)
    scene.notice(120.0)
    scene.saves(6)
    scene.progress(replace(POLLS, answer=SaveAnswer("r", 7)))
    assert none_of(scene.later(10.0), Kill)
    scene.saves(7)
    only(scene.later(10.0), Kill)


def test_a_save_that_was_begun_before_the_request_is_no_answer_to_it_however_late_it_was_found() -> None:
    """The Hugging Face Trainer's saves are found seconds after they were written: its own final save comes
    after them, and whoever kills it before loses steps that it was about to save."""
    scene = Scene().running()
    scene.notice(120.0)
    scene.later(2.0)
    scene.saves(9, age_s=5.0)
    assert none_of(scene.later(30.0), Kill)
    scene.saves(11, age_s=5.0)
    only(scene.later(5.0), Kill)


def test_a_final_save_that_does_not_fit_makes_way_for_the_upload_under_way() -> None:
    scene = Scene().running()
    saving = replace(scene.assignment.saving, save_s=40.0, upload_s=60.0)
    scene.view = replace(scene.view, assignment=replace(scene.assignment, saving=saving))
    scene.saves(8)
    acts = scene.notice(80.0)
    assert only(acts, Leave).plan is Plan.FINISH
    assert none_of(acts, AskSave, Kill)
    only(scene.uploads(8), Kill)
    only(scene.dies(), Release)


def test_a_final_save_that_fits_is_made_although_an_upload_is_under_way() -> None:
    scene = Scene().running()
    saving = replace(scene.assignment.saving, save_s=2.0, upload_s=10.0)
    scene.view = replace(scene.view, assignment=replace(scene.assignment, saving=saving))
    scene.saves(8)
    assert only(scene.notice(120.0), Leave).plan is Plan.SAVE


def test_out_of_time_it_kills_and_releases_with_what_is_durable() -> None:
    scene = Scene().running(ref(3))
    scene.notice(40.0)  # leaves by 30
    only(scene.later(30.0), Kill)
    acts = scene.dies()
    only(acts, Release)
    released(scene)


def test_a_slow_upload_before_is_no_reason_to_give_up_on_the_final_save() -> None:
    """The bucket was slow, or away, when the last one was made: this one may be faster."""
    scene = Scene().running(ref(3))
    saving = replace(scene.assignment.saving, save_s=2.0, upload_s=150.0)
    scene.view = replace(scene.view, assignment=replace(scene.assignment, saving=saving))
    only(scene.notice(120.0), AskSave)  # leaves by 110
    assert none_of(scene.later(105.0), Kill)
    scene.saves(7)
    only(scene.later(4.5), Kill)


def test_the_time_of_an_upload_is_not_that_of_an_absent_bucket() -> None:
    scene = Scene().running()
    scene.saves(8)
    scene.later(2.0)
    scene.uploads(8)
    assert scene.assignment.saving.upload_s == 2.0
    scene.saves(9)
    scene.hear(Uploaded(1, Trouble("no answer from the bucket")))
    scene.later(200.0)
    scene.uploads(9)
    assert scene.assignment.saving.upload_s == 2.0
    scene.saves(10)
    scene.later(3.0)
    scene.uploads(10)
    assert scene.assignment.saving.upload_s == 3.0


def test_an_upload_that_does_not_end_is_left_behind_at_the_deadline() -> None:
    scene = Scene().running()
    scene.saves(8)
    scene.notice(40.0)
    scene.saves(9)
    scene.later(5.0)
    assert none_of(scene.dies(), Release)
    only(scene.later(30.0), Release)


def test_a_short_notice_is_not_eaten_by_the_margin() -> None:
    assert leave_by_s(100.0, 220.0) == 210.0
    assert leave_by_s(100.0, 108.0) == 106.0
    assert leave_by_s(100.0, 100.0) == 100.0


def test_withdrawn_before_the_release_training_goes_on() -> None:
    scene = Scene().running()
    scene.notice(120.0)
    only(scene.withdrawn(), Stay)
    assert scene.is_(AgentState.RUNNING)
    assert none_of(scene.later(60.0), Kill, Release)


def test_withdrawn_after_the_trainer_has_left_it_is_a_new_attempt() -> None:
    scene = Scene().running()
    scene.progress(POLLS)
    scene.notice(120.0)
    leaving = replace(POLLS, answer=SaveAnswer("r", 6, leaving=True))
    scene.progress(leaving)
    scene.withdrawn()
    assert scene.is_(AgentState.DRAINING)
    only(scene.exits(0, leaving), Release)
    assert scene.is_(AgentState.DRAINING)


def test_withdrawn_while_the_last_save_is_on_its_way_it_does_not_claim_to_train() -> None:
    """The controller would send the replacement away, and then need another one."""
    scene = Scene().running()
    scene.notice(120.0)
    scene.saves(5)
    exited = TrainerExit(0, "")
    scene.hear(TrainerLooked(1, exited, TrainerProgress(step=5)))
    scene.hear(Killed(1, exited, TrainerProgress(step=5)))
    scene.withdrawn()
    assert scene.is_(AgentState.DRAINING)
    scene.hear(Settled(1))
    assert scene.is_(AgentState.DRAINING)
    only(scene.uploads(5), Release)


def test_a_trainer_that_ended_by_itself_does_not_drain() -> None:
    scene = Scene().running()
    scene.exits(1)
    assert not scene.is_(AgentState.DRAINING)


def test_withdrawn_after_the_release_changes_nothing() -> None:
    scene = Scene().running()
    scene.notice(40.0)
    scene.later(30.0)
    scene.dies()
    released(scene)
    assert scene.withdrawn() == []
    assert scene.is_(AgentState.RELEASED)


def test_a_rebalance_recommendation_only_asks_for_a_save() -> None:
    scene = Scene().running()
    assert not only(scene.notice(None, "rebalance"), AskSave).final
    assert scene.is_(AgentState.RUNNING)
    assert none_of(scene.later(1.0), AskSave)


def test_a_drain_has_its_own_limit_and_stays_told() -> None:
    scene = Scene().running()
    assert only(scene.told(ASSIGN, DRAIN), AskSave).limit_s == 60.0
    assert scene.told(ASSIGN) == []
    assert scene.is_(AgentState.DRAINING)
    only(scene.later(60.0), Kill)


def test_the_strictest_reason_counts() -> None:
    scene = Scene().running()
    scene.told(ASSIGN, replace(DRAIN, limit_s=600.0))
    scene.notice(40.0)
    only(scene.later(30.0), Kill)


def test_stop_releases_without_a_new_save() -> None:
    scene = Scene().running()
    acts = scene.told(ASSIGN, STOP)
    assert only(acts, Leave).plan is Plan.NOTHING
    only(acts, Kill)
    assert none_of(acts, AskSave)
    only(scene.dies(), Release)


def test_leaving_before_the_trainer_was_started_releases_at_once() -> None:
    scene = Scene().claimed()
    only(scene.told(ASSIGN, DRAIN), Release)
    released(scene)


def test_the_operating_system_gives_twenty_seconds() -> None:
    scene = Scene().running()
    assert only(scene.hear(ShutdownAsked()), AskSave).limit_s == 20.0
    only(scene.later(19.5), Kill)


def test_a_person_may_give_more_and_take_it_back() -> None:
    scene = Scene().running()
    assert only(scene.hear(ShutdownAsked(120.0)), AskSave).limit_s == 120.0
    assert none_of(scene.hear(ShutdownAsked(300.0)), Kill)  # not longer than it was told first
    assert none_of(scene.later(60.0), Kill)
    only(scene.hear(ShutdownAsked(0.0)), Kill)


def test_without_a_controller_a_lost_lease_ends_the_process_once_the_trainer_is_dead() -> None:
    scene = Scene().running()
    scene.view = replace(scene.view, alone=True, now_s=scene.view.now_s + scene.view.lease_s + 1.0)
    acts = scene.hear(Tick())
    only(acts, Kill)
    assert none_of(acts, Exit, PowerOff)
    scene.view = fold(scene.view, Killed(1, None, TrainerProgress()))
    assert only(decide(scene.view).acts, Exit).code != 0


def test_without_a_controller_no_machine_is_switched_off_when_the_work_is_over() -> None:
    scene = Scene().running()
    scene.view = replace(scene.view, alone=True)
    scene.told(ASSIGN, STOP)
    scene.dies()
    released(scene)
    assert none_of(scene.later(10_000.0), PowerOff)
