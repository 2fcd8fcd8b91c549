"""Saves that the health gate refuses: a few in a row end the attempt, and what else they mean for it."""

from __future__ import annotations

import pytest
from tests.agent.loop.gang_scene import follows, leader, running_leader
from tests.agent.loop.scene import WORK, Scene, none_of, only, pointer, ref

from outlast.acts import Act, AskSave, End, FinishOutputs, Kill, LeaveOut, Over, Release, Upload
from outlast.bucket.outcomes import Applied
from outlast.cadence import FINAL_GRACE_S, QUARANTINED_MAX
from outlast.facts import SAVE_QUARANTINED
from outlast.health import WHY_MAX
from outlast.news import (
    Closed,
    Killed,
    PartLeftOut,
    SaveAsked,
    SaveQuarantined,
    Settled,
    TrainerLooked,
    Trouble,
)
from outlast.node_ports import TrainerExit, TrainerProgress
from outlast.protocol.messages import HEALTH, AgentState, CheckpointPlan, Command, CommandKind
from outlast.protocol.objects import UNHEALTHY, PointerState
from outlast.protocol.values import replace
from outlast.telling import build_report
from outlast.trainer_contract import SaveAnswer

WHY = "not finite: model.safetensors:w"


def refuses(scene: Scene, *steps: int) -> list[Act]:
    acts: list[Act] = []
    for step in steps:
        acts += scene.hear(SaveQuarantined(1, step, f"step {step} is quarantined: {WHY}"))
    return acts


def sick() -> Scene:
    """Its trainer has just been ended for its saves; step 10 is durable."""
    scene = Scene().running(ref(10))
    only(refuses(scene, 20, 30, 40), Kill)
    return scene


def test_the_third_in_a_row_ends_the_trainer_and_releases_the_job_as_a_failure_of_its_health() -> None:
    scene = Scene().running(ref(10))
    assert none_of(refuses(scene, 20, 30), Kill)
    kill = only(refuses(scene, 40), Kill)
    assert kill.grace_s > 0.0
    release = only(scene.dies(), Release)
    assert release.then is AgentState.FAILED
    # The pointer says so too: the controller must not count on a report that comes through.
    assert release.why.startswith(UNHEALTHY)
    assert f"3 in a row were quarantined; the newest: step 40 is quarantined: {WHY}" in release.why
    scene.hear(Closed(1, Applied(pointer(ref(10), PointerState.RELEASED), "released")))
    report = build_report(scene.view, "over")
    assert (report.state, report.save.refused) == (AgentState.FAILED, QUARANTINED_MAX)
    assert report.failure is not None
    assert (report.failure.phase, report.failure.message) == (HEALTH, release.why)


def test_each_is_told_with_what_was_found() -> None:
    scene = Scene().running()
    refuses(scene, 20, 30)
    told = [fact for fact in scene.view.telling.facts if fact.kind == SAVE_QUARANTINED]
    assert [fact.data["step"] for fact in told] == ["20", "30"]
    assert WHY in told[0].why
    assert build_report(scene.view, "").save.refused_why == told[1].why


def test_a_healthy_save_in_between_begins_the_count_anew() -> None:
    scene = Scene().running()
    refuses(scene, 20, 30)
    scene.saves(40)
    scene.uploads(40)
    assert none_of(refuses(scene, 50, 60), Kill)
    only(refuses(scene, 70), Kill)


def test_a_healthy_save_that_is_on_its_way_is_brought_to_the_bucket_first() -> None:
    scene = Scene().running()
    scene.saves(10)
    only(refuses(scene, 20, 30, 40), Kill)
    assert none_of(scene.dies(), Release)
    assert only(scene.uploads(10), Release).then is AgentState.FAILED


def test_a_long_list_of_tensors_does_not_go_into_the_pointer() -> None:
    scene = Scene().running()
    for step in (20, 30, 40):
        scene.hear(SaveQuarantined(1, step, f"step {step}: " + ", ".join(f"layer.{n}.w" for n in range(500))))
    assert len(only(scene.dies(), Release).why) < WHY_MAX + 100


def test_ended_for_its_saves_it_stays_that_whatever_is_ordered_meanwhile() -> None:
    scene = sick()
    scene.told(Command(CommandKind.STOP, 1, why="node 1 is lost"))
    assert only(scene.dies(), Release).why.startswith(UNHEALTHY)


def test_who_is_leaving_anyway_leaves_for_that_reason() -> None:
    scene = Scene().running(ref(10))
    scene.notice(120.0)
    assert none_of(refuses(scene, 20), Kill)
    only(refuses(scene, 30), Kill)  # it has saved once more, so it will not leave by itself
    release = only(scene.dies(), Release)
    assert release.then is AgentState.RELEASED
    assert "notice" in release.why


@pytest.mark.parametrize("polls", [True, False])
def test_a_final_save_that_is_refused_is_not_waited_for_until_the_deadline(polls: bool) -> None:
    scene = Scene().running(ref(10))
    scene.notice(600.0)
    only(scene.done, AskSave)
    if polls:
        scene.progress(TrainerProgress(step=20, polls=True, answer=SaveAnswer("r", 20)))
    assert none_of(scene.later(1.0), Kill)
    refuses(scene, 20)
    only(scene.later(FINAL_GRACE_S), Kill)


def test_the_interval_runs_from_it_as_from_any_save() -> None:
    scene = Scene().running()
    work = replace(WORK, checkpoint=CheckpointPlan(every_s=100.0))
    scene.view = replace(scene.view, assignment=replace(scene.assignment, work=work))
    only(scene.later(100.0), AskSave)
    scene.hear(SaveAsked(1, signalled=True))
    scene.later(5.0)
    refuses(scene, 20)
    assert none_of(scene.later(99.0), AskSave)
    only(scene.later(1.0), AskSave)
    assert build_report(scene.view, "").save.save_s == 5.0


def ends(scene: Scene, code: int, *, refused: tuple[int, ...], done: bool = False) -> list[Act]:
    """By itself; what its last look finds is refused."""
    ended, progress = TrainerExit(code), TrainerProgress(step=40, polls=True, done=done)
    acts = scene.hear(TrainerLooked(1, ended, progress), Killed(1, ended, progress))
    acts += refuses(scene, *refused)
    return acts + scene.hear(Settled(1))


@pytest.mark.parametrize("done", [True, False])
def test_an_end_with_0_on_a_lost_state_is_no_success(done: bool) -> None:
    scene = Scene().running(ref(10))
    refuses(scene, 20)
    only(ends(scene, 0, refused=(30,), done=done), FinishOutputs)
    scene = Scene().running(ref(10))
    refuses(scene, 20)
    acts = ends(scene, 0, refused=(30, 40), done=done)
    assert none_of(acts, End, FinishOutputs)
    assert only(acts, Release).then is AgentState.FAILED


def test_a_crash_is_judged_as_a_crash() -> None:
    scene = Scene().running(ref(10))
    assert only(ends(scene, 3, refused=(20, 30, 40)), End).code == 3


def test_a_release_that_could_not_be_written_says_the_same_when_it_is_repeated() -> None:
    scene = sick()
    first = only(scene.dies(), Release)
    scene.hear(Closed(1, Trouble("503")))
    assert only(scene.later(60.0), Release) == first


# Gangs


def test_a_node_that_follows_ends_its_role_and_says_why() -> None:
    scene = follows()
    assert none_of(refuses(scene, 20, 30), Kill)
    only(refuses(scene, 40), Kill)
    over = only(scene.dies(), Over)
    assert over.state is AgentState.FAILED
    failure = build_report(scene.view, "").failure
    assert failure is not None
    assert failure.phase == HEALTH


def test_a_part_that_was_refused_is_left_out_in_words_and_the_next_one_is_sent() -> None:
    """The first node would wait for it for ever, were it the last one."""
    scene = follows()
    assert none_of(leader(scene, AgentState.RUNNING, 20), LeaveOut)
    assert only(refuses(scene, 20), LeaveOut).step == 20
    assert none_of(scene.hear(PartLeftOut(1, 20, Trouble("503"))), LeaveOut)
    assert only(scene.later(60.0), LeaveOut).step == 20
    assert none_of(scene.hear(PartLeftOut(1, 20, None)), LeaveOut)
    assert not scene.assignment.saving.trouble
    scene.saves(30)
    upload = only(leader(scene, AgentState.RUNNING, 30), Upload)
    assert (upload.copy.step, upload.skips) == (30, None)


def test_the_first_node_ends_the_gang_for_its_own() -> None:
    scene = running_leader()
    only(refuses(scene, 20, 30, 40), Kill)
    assert only(scene.dies(), Release).then is AgentState.FAILED
