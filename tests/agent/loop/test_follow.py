"""A node that follows the first of its gang: it never claims, and trains as long as the first one leads."""

from __future__ import annotations

from dataclasses import replace

from tests.agent.loop.gang_scene import (
    SECOND,
    START,
    follows,
    leader,
    ready,
)
from tests.agent.loop.scene import RUN, Scene, draft, none_of, only, pointer, ref

from outlast.acts import (
    AskSave,
    Claim,
    Commit,
    FinishOutputs,
    Join,
    Kill,
    Over,
    Release,
    Restore,
    Start,
    Upload,
)
from outlast.bucket.outcomes import Fenced, Mine, Wait
from outlast.bucket.outcomes import Over as PointerOver
from outlast.fold import restarted_follower
from outlast.gang import judge_join, meeting_of
from outlast.news import (
    Joined,
    Looked,
    Restored,
    Uploaded,
)
from outlast.protocol.messages import AgentState, Command, CommandKind
from outlast.protocol.objects import PointerState
from outlast.save.types import StableCopy
from outlast.telling import asking, build_report, state_of
from outlast.view import Chore, Resume


def test_it_never_claims_whatever_it_is_told() -> None:
    scene = ready()
    acts = scene.answered(SECOND, replace(RUN, rank=1))
    assert asking(scene.view) is None
    assert none_of(scene.done + acts, Claim)
    assert scene.is_(AgentState.WAITING)


def test_it_looks_for_the_first_nodes_claim_and_again_after_a_while() -> None:
    scene = ready()
    only(scene.done, Join)
    assert none_of(scene.hear(Joined(1, Wait("not yet"))), Join)
    only(scene.later(2.0), Join)


def test_it_restores_and_starts_when_the_first_node_has() -> None:
    scene = ready()
    only(scene.hear(Joined(1, START)), Restore)
    only(scene.hear(Restored(1, Resume("/saves/x", 10, ref(10)))), Start)
    meeting = meeting_of("job", scene.assignment)
    assert (meeting.nodes, meeting.rank, meeting.address, meeting.port) == (2, 1, "10.0.0.1", 21000)


def test_what_it_finds_in_the_bucket_decides() -> None:
    mine = pointer()
    assert isinstance(judge_join(None, 1, None), Wait)
    assert isinstance(judge_join(mine, 2, START), Wait)
    assert isinstance(judge_join(replace(mine, generation=2), 1, START), Fenced)
    assert isinstance(judge_join(pointer(state=PointerState.RELEASED), 1, START), PointerOver)
    assert isinstance(judge_join(mine, 1, None), Wait)
    assert isinstance(judge_join(replace(mine, writer="another"), 1, START), Wait)
    assert judge_join(replace(mine, writer="w-0"), 1, START) == START


def test_it_can_be_given_up_while_it_looks() -> None:
    scene = ready()
    assert scene.assignment.claim is Chore.DOING
    over = only(scene.told(Command(CommandKind.ABANDON, 1, why="no")), Over)
    assert over.state is AgentState.ABANDONED


def test_it_uploads_the_part_of_what_the_first_node_uploads() -> None:
    scene = follows()
    assert none_of(scene.saves(20), Upload)
    acts = leader(scene, AgentState.RUNNING, 20)
    assert only(acts, Upload) == Upload(copy_of(scene, 20))
    assert none_of(scene.hear(Uploaded(1, draft(20))), Commit, Upload)
    assert none_of(scene.saves(30), Upload), "the first node still waits with step 20"
    assert only(leader(scene, AgentState.RUNNING, 30), Upload).copy.step == 30


def copy_of(scene: Scene, step: int) -> StableCopy:
    found = scene.assignment.saving.under_way
    assert found is not None
    assert found.step == step
    return found


def test_what_it_no_longer_has_it_says_with_the_newer_part() -> None:
    scene = follows()
    scene.saves(20)
    scene.saves(30)
    upload = only(leader(scene, AgentState.RUNNING, 20), Upload)
    assert (upload.copy.step, upload.skips) == (30, 20)


def test_a_save_that_only_the_first_node_has_found_is_waited_for() -> None:
    scene = follows()
    scene.saves(20)
    assert none_of(leader(scene, AgentState.RUNNING, 30), Upload)
    assert only(scene.saves(30), Upload).skips is None


def test_its_trainer_ends_as_soon_as_the_first_node_has_left() -> None:
    scene = follows()
    only(leader(scene, AgentState.RELEASED), Kill)
    over = only(scene.dies(), Over)
    assert over.state is AgentState.RELEASED


def test_the_pointer_tells_it_too() -> None:
    scene = follows()
    assert none_of(scene.hear(Looked(1, Mine(pointer(), "mine"))), Kill)
    only(scene.hear(Looked(1, PointerOver(pointer(state=PointerState.ENDED), "ended"))), Kill)
    assert only(scene.dies(), Over).state is AgentState.ENDED


def test_superseded_it_ends_at_once() -> None:
    scene = follows()
    assert only(scene.hear(Looked(1, Fenced("generation 2 has claimed"))), Kill).grace_s == 0.0
    assert only(scene.dies(), Over).state is AgentState.FENCED


def test_told_to_leave_it_asks_for_no_save_and_waits_for_the_first_node() -> None:
    scene = follows()
    acts = scene.told(Command(CommandKind.DRAIN, 1, why="a notice", limit_s=60.0))
    assert none_of(acts, AskSave, Kill, Release)
    scene.saves(20)
    only(leader(scene, AgentState.DRAINING, 20), Upload)
    scene.hear(Uploaded(1, draft(20)))
    assert none_of(scene.later(30.0), Kill)
    only(scene.later(30.0), Kill)


def test_its_own_notice_leaves_the_time_to_the_last_save() -> None:
    scene = follows()
    assert none_of(scene.notice(100.0), Kill, AskSave)
    report = build_report(scene.view, "")
    assert report.notice is not None
    assert report.state is AgentState.DRAINING
    only(scene.later(95.0), Kill)


def test_a_trainer_that_fails_is_told_and_nothing_more() -> None:
    scene = follows()
    acts = scene.exits(1, tail="CUDA out of memory")
    over = only(acts, Over)
    assert over.state is AgentState.FAILED
    assert scene.assignment.failure is not None
    assert "out of memory" in scene.assignment.failure.message
    assert none_of(acts, Release, FinishOutputs)


def test_a_trainer_that_ended_well_waits_for_the_first_nodes_end() -> None:
    scene = follows()
    assert none_of(scene.exits(0), Over, FinishOutputs)
    assert state_of(scene.view) is AgentState.RUNNING
    assert only(leader(scene, AgentState.ENDED), Over).state is AgentState.ENDED


def test_an_agent_that_was_restarted_is_out_of_the_gang() -> None:
    scene = follows()
    fresh = replace(scene.view, assignment=None, generation_max=1, remembered_rank=1, remembered_attempt="a1")
    view = restarted_follower(fresh)
    assert build_report(view, "").rank == 1
    assert state_of(view) is AgentState.ABANDONED
