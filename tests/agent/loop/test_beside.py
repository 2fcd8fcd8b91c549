"""Saves on their way, being superseded, and being alone: what goes on beside the training."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.agent.loop.scene import ASSIGN, RUN, WORK, Scene, draft, none_of, only, pointer, ref

from outlast.acts import Commit, End, Kill, PowerOff, Prune, Release, Upload
from outlast.bucket.outcomes import Applied, Fenced, Rebase, Stop
from outlast.cadence import retry_in_s, save_due_s
from outlast.news import (
    ClaimAnswered,
    Closed,
    Committed,
    Looked,
    Prepared,
    Pruned,
    Remembered,
    Restored,
    SaveAsked,
    Settled,
    StatusDone,
    Tick,
    Trouble,
    Uploaded,
    Wrote,
)
from outlast.node_ports import TrainerProgress
from outlast.protocol.limits import KEYLESS_MAX_S
from outlast.protocol.messages import AgentState, Command, CommandKind, Failure
from outlast.protocol.objects import PointerState
from outlast.save.types import StableCopy
from outlast.telling import said, status_due
from outlast.wake import go_on, wake_in_s

POLLS = TrainerProgress(step=5, polls=True)
DRAIN = Command(CommandKind.DRAIN, 1, why="moving", limit_s=60.0)
STOP = Command(CommandKind.STOP, 1, why="now")


def released(scene: Scene) -> None:
    scene.hear(Closed(1, Applied(pointer(state=PointerState.RELEASED), "released")))
    assert scene.is_(AgentState.RELEASED)


# being superseded, and being alone


@pytest.mark.parametrize("state", [AgentState.FENCED, AgentState.FAILED])
def test_once_superseded_the_trainer_is_killed_at_once_and_nothing_more_is_written(state: AgentState) -> None:
    scene = Scene().running()
    scene.saves(8)
    outcome = Fenced("generation 2") if state is AgentState.FENCED else Stop("the pointer vanished")
    acts = scene.hear(Looked(1, outcome))
    assert only(acts, Kill).grace_s == 0.0
    assert none_of(scene.hear(Uploaded(1, draft(8))), Commit)
    acts = scene.dies()
    assert none_of(acts, Release, End, Commit)
    assert scene.is_(state)


def test_what_fails_while_another_attempt_owns_the_job_is_no_failure_of_the_job() -> None:
    """Frozen in its restore, it wakes and finds the checkpoint gone: the new owner has pruned it."""
    scene = Scene().claimed(ref(7))
    only(scene.hear(Restored(1, Failure("restore", "none of 1 checkpoints verifies", fatal=True))), Release)
    scene.hear(Closed(1, Fenced("generation 2 owns the job")))
    assert scene.is_(AgentState.FENCED)
    assert scene.assignment.failure is None


def test_a_failure_read_right_after_the_word_of_being_superseded_is_none_of_the_job() -> None:
    """It wakes with both in its mailbox: the routine look's answer first, then its restore's."""
    scene = Scene().claimed(ref(7))
    nothing = Failure("restore", "none of 1 checkpoints verifies", fatal=True)
    scene.hear(Looked(1, Fenced("generation 2 owns the job")), Restored(1, nothing))
    assert scene.is_(AgentState.FENCED)
    assert scene.assignment.failure is None


def test_a_look_that_shows_our_own_release_is_no_alarm() -> None:
    scene = Scene().running()
    assert scene.hear(Looked(1, Applied(pointer(), "mine"))) == []
    assert scene.is_(AgentState.RUNNING)


@pytest.mark.parametrize(("lease_s", "every_s"), [(600.0, 10.0), (6.0, 2.0)])
def test_the_status_object_alone_renews_the_lease_however_short_it_was_set(
    lease_s: float, every_s: float
) -> None:
    """The controller is away, so nothing else is written: every 10 s is too late for 6 s."""
    view = replace(Scene().running().view, lease_s=lease_s)
    view = replace(view, telling=replace(view.telling, status_s=view.now_s, status_state=said(view)))
    words = said(view)
    assert not status_due(replace(view, now_s=view.now_s + every_s - 0.1), words)
    assert status_due(replace(view, now_s=view.now_s + every_s), words)
    assert wake_in_s(replace(view, now_s=view.now_s + every_s - 0.5), words) <= 0.5


def test_without_controller_and_bucket_for_the_lease_it_stops_and_switches_off() -> None:
    scene = Scene().running()
    lease_s = scene.view.lease_s
    scene.view = replace(scene.view, now_s=scene.view.now_s + lease_s - 1.0)
    assert scene.hear(Tick()) == [Prune()]  # wishes for pins are looked at now and then
    scene.view = replace(scene.view, now_s=scene.view.now_s + 1.0)
    acts = scene.hear(Tick())
    only(acts, Kill)
    only(acts, PowerOff)


def test_after_a_freeze_both_ways_get_a_chance_before_the_lease_is_judged() -> None:
    scene = Scene().running()
    woke_s = scene.view.now_s + 3600.0
    scene.view = replace(scene.view, now_s=woke_s + 1.0, woke_s=woke_s)
    assert none_of(scene.hear(Tick()), PowerOff, Kill)
    scene.view = replace(scene.view, now_s=woke_s + 21.0)
    only(scene.hear(Tick()), PowerOff)


def test_a_freeze_is_noted_wherever_in_the_round_it_strikes() -> None:
    view = Scene().running().view
    still_s = view.pace.freeze_s + 1.0
    assert go_on(view, view.now_s + 10.0, 10.0).woke_s == view.woke_s
    for wait_s in (10.0, 0.0):  # asleep, or busy with news
        woken = go_on(view, view.now_s + wait_s + still_s, wait_s)
        assert woken.woke_s == woken.now_s == view.now_s + wait_s + still_s


def test_an_attempt_that_is_over_and_gets_no_other_work_switches_the_machine_off() -> None:
    scene = Scene().running()
    scene.told(ASSIGN, STOP)
    scene.dies()
    released(scene)
    assert none_of(scene.later(599.0), PowerOff)
    only(scene.later(1.0), PowerOff)


def test_after_a_failure_it_is_left_on_for_as_long_as_the_job_wants() -> None:
    held = replace(ASSIGN, work=replace(WORK, hold_s=1800.0))
    scene = Scene()
    scene.told(held)
    scene.hear(Prepared(1, "ready"))
    scene.hear(Remembered(1, "w"))
    scene.answered(held, RUN)
    scene.hear(ClaimAnswered(1, Stop("the pointer is absent although step 7 was durable")))
    assert scene.is_(AgentState.FAILED)
    assert none_of(scene.later(1800.0 + 599.0), PowerOff)
    only(scene.later(1.0), PowerOff)


def test_without_a_failure_it_is_not() -> None:
    scene = Scene().running()
    scene.told(replace(ASSIGN, work=replace(WORK, hold_s=1800.0)), STOP)
    scene.view = replace(scene.view, assignment=replace(scene.assignment, work=replace(WORK, hold_s=1800.0)))
    scene.dies()
    released(scene)
    only(scene.later(600.0), PowerOff)


def keyless(scene: Scene) -> None:
    """The controller is gone, and the bucket can't be written without it."""
    scene.hear(StatusDone("no keys for it: refused", keyless=True))


def test_without_keys_the_lease_waits_for_the_controller_for_a_day_and_no_longer() -> None:
    scene = Scene().running()
    keyless(scene)
    scene.view = replace(scene.view, now_s=scene.view.now_s + KEYLESS_MAX_S - 1.0)
    keyless(scene)
    assert none_of(scene.hear(Tick()), PowerOff, Kill)
    told = [fact.why for fact in scene.view.telling.facts if fact.kind == "tell"]
    assert told == ["training goes on, and saves stay on this machine for now: no keys for it: refused"]
    scene.view = replace(scene.view, now_s=scene.view.now_s + 1.0)
    only(scene.hear(Tick()), PowerOff)


def test_with_keys_again_the_lease_is_what_it_was() -> None:
    scene = Scene().running()
    keyless(scene)
    scene.hear(Wrote(scene.view.now_s), StatusDone())
    scene.view = replace(scene.view, now_s=scene.view.now_s + scene.view.lease_s)
    only(scene.hear(Tick()), PowerOff)


def test_a_bucket_that_can_not_be_reached_holds_no_lease() -> None:
    scene = Scene().running()
    scene.hear(StatusDone("could not connect"))
    scene.view = replace(scene.view, now_s=scene.view.now_s + scene.view.lease_s)
    only(scene.hear(Tick()), PowerOff)


# on the way to the bucket


def test_a_newer_save_replaces_one_that_waits_and_the_skip_is_told() -> None:
    scene = Scene().running()
    only(scene.saves(1), Upload)
    assert scene.saves(2) == []
    assert scene.saves(3) == []
    assert scene.assignment.saving.skipped == 1
    skips = [fact for fact in scene.view.telling.facts if fact.kind == "save.skipped"]
    assert [fact.data["step"] for fact in skips] == ["2"]
    assert "save less often" in skips[0].why
    assert "only the adapter" in skips[0].why
    assert only(scene.uploads(1), Upload).copy.step == 3


def test_storage_trouble_is_shown_and_tried_again_and_training_goes_on() -> None:
    scene = Scene().running()
    scene.saves(1)
    for _ in range(20):
        acts = scene.hear(Uploaded(1, Trouble("503")))
        assert acts == []
        assert scene.assignment.saving.trouble == "503"
        only(scene.later(31.0), Upload)
    assert scene.is_(AgentState.RUNNING)
    assert scene.assignment.saving.trouble_since_s is not None
    scene.uploads(1)
    assert scene.assignment.saving.trouble == ""
    kinds = [fact.kind for fact in scene.view.telling.facts if fact.kind.startswith("storage.")]
    assert kinds == ["storage.trouble", "storage.mended"]


def test_an_upload_that_was_under_way_does_not_mend_the_trouble_that_came_meanwhile() -> None:
    """The bucket went away between the two: "mended after 0 s", and trouble again, would tell an untruth."""
    scene = Scene().running()
    scene.saves(1)
    only(scene.uploads(1), Prune)
    only(scene.saves(2), Upload)
    scene.later(0.5)
    scene.hear(Pruned(1, Trouble("unreachable")))
    only(scene.hear(Uploaded(1, draft(2))), Commit)
    assert scene.assignment.saving.trouble == "unreachable"
    scene.hear(Committed(1, Applied(pointer(ref(2)), "committed")))
    assert scene.assignment.saving.trouble == ""


def test_a_head_that_moved_sends_the_same_save_anew() -> None:
    scene = Scene().running()
    first: StableCopy = only(scene.saves(1), Upload).copy
    scene.hear(Uploaded(1, draft(1)))
    again = only(scene.hear(Committed(1, Rebase(None, "the head moved"))), Upload)
    assert again.copy is first


def test_a_release_that_can_not_be_written_is_tried_again() -> None:
    scene = Scene().running()
    scene.told(ASSIGN, STOP)
    only(scene.dies(), Release)
    assert scene.hear(Closed(1, Trouble("503"))) == []
    only(scene.later(31.0), Release)


def test_news_of_an_earlier_generation_changes_nothing() -> None:
    scene = Scene().running()
    before = scene.view
    scene.hear(Settled(0), SaveAsked(0, True), Closed(0, Fenced("old")), Looked(0, Fenced("old")))
    assert scene.view == before


def test_waits_grow_to_half_a_minute() -> None:
    assert [retry_in_s(tries) for tries in (1, 2, 3, 6, 100)] == [1.0, 2.0, 4.0, 30.0, 30.0]
    assert save_due_s(None, 0.0, 0.0, 0.0) is None
