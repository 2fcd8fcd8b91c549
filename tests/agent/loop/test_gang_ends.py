"""A node that follows, when something ends: its role, its trainer, the first node's; and what is told."""

from __future__ import annotations

from dataclasses import replace

from tests.agent.loop.gang_scene import FIRST, PEERS, SECOND, START, follows, leader, ready, running_leader
from tests.agent.loop.scene import Scene, draft, none_of, only
from tests.agent.loop.test_tasks import heard
from tests.fakes.bucket import MemoryBucket

from outlast.acts import Join, Kill, Over, Restore, Start, Upload
from outlast.bucket.outcomes import Wait
from outlast.bucket.status import write_status
from outlast.clock import SystemRuntime
from outlast.gang import pointer_to_follow
from outlast.news import Joined, LeaderSeen, Restored, Trouble, Uploaded
from outlast.protocol.messages import AgentState, Command, CommandKind, Failure, Report, SaveStatus
from outlast.tasks.pointer import writer_of
from outlast.tasks.watch import Leader, LeaderTask
from outlast.telling import said
from outlast.view import Identity

ME = Identity("job", "own", "l-0", "boot", "here", "r1", "i-0")


def joins() -> Scene:
    scene = ready()
    scene.hear(Joined(1, START))
    return scene


# before its trainer


def test_with_a_notice_of_its_own_it_does_not_join() -> None:
    scene = ready()
    scene.hear(Joined(1, Wait("not yet")))
    scene.notice(100.0)
    assert none_of(scene.later(5.0), Join)
    assert "a notice itself" in scene.why


def test_a_bucket_that_refuses_its_looks_is_told_and_is_a_failure_when_it_lasts() -> None:
    scene = ready()
    for _ in range(20):
        scene.hear(Joined(1, Trouble("no answer")))
        assert none_of(scene.later(60.0), Over)
    assert [f.why for f in scene.view.telling.facts if f.kind == "storage.trouble"] == ["no answer"]
    scene.hear(Joined(1, Wait("not yet")))
    assert not scene.assignment.saving.trouble
    for _ in range(5):
        scene.hear(Joined(1, Trouble("403", lasting=True)))
        scene.later(60.0)
    assert only(scene.hear(Joined(1, Trouble("403", lasting=True))), Over).state is AgentState.FAILED


def test_what_it_can_not_restore_it_says_and_is_out() -> None:
    over = only(joins().hear(Restored(1, Failure("restore", "the disk is full"))), Over)
    assert (over.state, over.why) == (AgentState.FAILED, "the disk is full")


def test_when_the_first_node_is_through_before_it_began_it_begins_nothing() -> None:
    scene = joins()
    acts = leader(scene, AgentState.RELEASED)
    assert only(acts, Over).state is AgentState.RELEASED
    assert none_of(acts, Start, Restore)


def test_it_restores_what_the_first_node_restored_and_nothing_before_it() -> None:
    followed = pointer_to_follow(START, ME)
    assert (followed.head, followed.kept) == (START.start, (START.start,))
    assert pointer_to_follow(replace(START, start=None), ME).kept == ()


# its end


def test_told_to_stop_its_trainer_ends_at_once_whatever_the_first_one_still_brings() -> None:
    scene = follows()
    stop = Command(CommandKind.STOP, 1, why="node 2 is lost", limit_s=60.0)
    only(scene.told(stop), Kill)


def test_a_part_that_it_owes_is_brought_before_it_leaves() -> None:
    scene = follows()
    scene.told(Command(CommandKind.DRAIN, 1, why="a notice", limit_s=60.0))
    scene.saves(20)
    assert none_of(scene.exits(3), Over), "the first node may want this step in a moment"
    only(leader(scene, AgentState.DRAINING, 20), Upload)
    assert only(scene.hear(Uploaded(1, draft(20))), Over).state is AgentState.RELEASED


def test_the_first_nodes_failure_is_told_by_the_first_node_alone() -> None:
    scene = follows()
    only(leader(scene, AgentState.FAILED), Kill)
    assert only(scene.dies(), Over).state is AgentState.RELEASED


def test_nothing_is_brought_any_more_when_the_first_node_has_left() -> None:
    scene = follows()
    leader(scene, AgentState.RELEASED, 20)
    assert none_of(scene.saves(20), Upload)


def test_where_the_first_node_saves_all_there_are_no_parts() -> None:
    assert SECOND.work is not None
    alone = replace(SECOND.work, checkpoint=replace(SECOND.work.checkpoint, parts="first-node"))
    for scene, others in ((follows(), 1), (running_leader(), 1)):
        assert scene.assignment.parts == others
        scene.view = replace(scene.view, assignment=replace(scene.assignment, work=alone))
        assert scene.assignment.parts == 0
    scene = follows()
    scene.view = replace(scene.view, assignment=replace(scene.assignment, work=alone))
    scene.saves(20)
    assert none_of(leader(scene, AgentState.RUNNING, 20), Upload)


# what is told


def test_that_the_first_node_brings_a_save_is_told_at_once() -> None:
    scene = running_leader()
    before = said(scene.view)
    scene.saves(20)
    assert said(scene.view) != before
    scene = follows()
    scene.saves(20)
    before = said(scene.view)
    leader(scene, AgentState.RUNNING, 20)
    assert said(scene.view) == before, "of the others nobody waits for it"


def test_who_the_others_are_is_settled_by_the_claim() -> None:
    """They were told by the first node where to meet, and the pointer names their machines."""
    scene = running_leader()
    scene.told(replace(FIRST, peers=(replace(PEERS[0], address="10.9.9.9"), PEERS[1])))
    assert scene.assignment.peers == PEERS


def test_the_pointer_names_all_machines_in_rank_order() -> None:
    named = writer_of(ME, 1, "w", "a1", PEERS).instances
    assert [one.id for one in named] == ["i-0", "i-1"]
    assert [one.id for one in writer_of(ME, 1, "w", "a1").instances] == ["i-0"]


def test_only_the_status_of_the_writer_that_it_follows_counts() -> None:
    bucket, runtime = MemoryBucket(), SystemRuntime()
    news = runtime.mailbox()
    task = LeaderTask(runtime, bucket, news.put, 0.02)
    status = Report(
        "job", 1, 0, "l-0", "boot", 1, AgentState.RUNNING, writer="w-0", save=SaveStatus(uploading_step=20)
    )
    write_status(bucket, replace(status, writer="another", save=SaveStatus(uploading_step=10)))
    task.aim(Leader(1, "w-0"))
    runtime.sleep(0.2)
    write_status(bucket, status)
    seen = heard(news)
    assert isinstance(seen, LeaderSeen)
    assert seen.step == 20
