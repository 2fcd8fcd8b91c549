"""The first node of a gang, and what makes checkpoints of saves that lie on several nodes."""

from __future__ import annotations

from dataclasses import replace

from tests.agent.loop.gang_scene import (
    FIRST,
    PEERS,
    follows,
    leader,
    leads,
    running_leader,
)
from tests.agent.loop.scene import RUN, Scene, copy, draft, none_of, only, pointer, ref

from outlast.acts import (
    Claim,
    Commit,
    End,
    FinishOutputs,
    Kill,
    Release,
    Upload,
)
from outlast.bucket.outcomes import Applied
from outlast.crew import unneeded
from outlast.gang import port_of
from outlast.news import (
    Committed,
    Incomplete,
    LeaderSeen,
    OutputsFinished,
    Restored,
    SaveFound,
    Trouble,
    Uploaded,
)
from outlast.protocol.messages import AgentState, Command, CommandKind
from outlast.telling import build_report
from outlast.view import Resume

# the first node of a gang


def test_the_first_node_claims_only_when_the_others_can_be_reached() -> None:
    scene = leads()
    hidden = replace(FIRST, peers=(PEERS[0], replace(PEERS[1], address="")))
    assert none_of(scene.answered(hidden, RUN), Claim)
    assert "node 1" in scene.why
    only(leads().answered(FIRST, RUN), Claim)


def test_a_checkpoint_waits_for_the_parts_of_all() -> None:
    scene = running_leader()
    scene.saves(20)
    assert only(scene.hear(Uploaded(1, draft(20))), Commit)
    assert none_of(scene.hear(Committed(1, Incomplete((1,), ()))), Commit)
    status = build_report(scene.view, "").save
    assert status.trouble == "step 20 waits for the part of node 1"
    assert status.trouble_age_s == 0.0
    only(scene.later(2.0), Commit)


def test_a_checkpoint_that_a_node_left_out_makes_way_for_the_next() -> None:
    scene = running_leader()
    scene.saves(20)
    scene.hear(Uploaded(1, draft(20)))
    scene.saves(30)
    upload = only(scene.hear(Committed(1, Incomplete((), (1,)))), Upload)
    assert upload.copy.step == 30


def test_told_to_stop_it_finishes_what_is_on_its_way_within_the_limit() -> None:
    scene = running_leader()
    scene.saves(20)
    only(scene.told(Command(CommandKind.STOP, 1, why="node 1 is lost", limit_s=60.0)), Kill)
    assert none_of(scene.dies(), Release)
    assert only(scene.later(61.0), Release)


def test_each_generation_has_a_port_of_its_own() -> None:
    ports = {port_of("job", generation) for generation in range(50)}
    assert len(ports) > 45
    assert all(20_000 <= port < 30_000 for port in ports)


# saves that would mix what does not belong together


def test_a_save_without_a_step_in_its_name_is_no_part_and_that_is_told() -> None:
    for scene in (follows(), running_leader()):
        hidden = replace(copy(7), numbered=False)
        assert none_of(scene.hear(SaveFound(1, hidden)), Upload)
        assert none_of(scene.hear(LeaderSeen(1, AgentState.RUNNING, 7, "")), Upload)
        told = [fact.why for fact in scene.view.telling.facts if fact.kind == "tell"]
        assert len(told) == 1
        assert "no step" in told[0]
    alone = Scene().running()
    only(alone.hear(SaveFound(1, replace(copy(7), numbered=False))), Upload)


def test_of_a_step_that_is_saved_again_the_first_save_counts_on_every_node() -> None:
    scene = follows()
    scene.saves(20)
    first = scene.assignment.saving.waiting
    scene.saves(20)
    assert scene.assignment.saving.waiting is first
    leader(scene, AgentState.RUNNING, 20)
    scene.saves(20)
    scene.hear(Uploaded(1, draft(20)))
    scene.saves(20)
    assert scene.assignment.saving.idle


def test_a_save_that_was_found_before_its_last_file_is_brought_again() -> None:
    """Refused, the checkpoint would lack that file for good."""
    grown = SaveFound(1, replace(copy(20), grown=True))
    scene = running_leader()
    scene.saves(20)
    scene.hear(grown)
    only(scene.uploads(20), Upload)
    scene = follows()
    scene.saves(20)
    leader(scene, AgentState.RUNNING, 20)
    scene.hear(grown)
    assert only(scene.hear(Uploaded(1, draft(20))), Upload).copy.grown
    scene.hear(Uploaded(1, draft(20)))
    assert none_of(scene.saves(30), Upload), "the first node has not said that it brings this one"


def test_the_copy_of_a_save_that_is_not_used_is_freed() -> None:
    for scene in (running_leader(), Scene()):
        scene.saves(20)
        before, again = scene.view.assignment, copy(20)
        scene.hear(SaveFound(1, again))
        assert unneeded(before, scene.view.assignment, SaveFound(1, again)) == [again]
    scene = running_leader()
    before, first = scene.view.assignment, copy(20)
    scene.hear(SaveFound(1, first))
    assert unneeded(before, scene.view.assignment, SaveFound(1, first)) == []


def test_the_first_node_brings_no_step_twice_for_the_parts_are_those_of_the_first_save() -> None:
    scene = running_leader()
    scene.saves(20)
    assert none_of(scene.saves(20), Upload)
    assert scene.assignment.saving.waiting is None
    scene.uploads(20)
    assert none_of(scene.saves(20), Upload)
    only(scene.saves(30), Upload)
    scene.hear(Uploaded(1, None, "it changed under the upload"))
    assert none_of(scene.saves(30), Upload), "another node may have brought its part of the first one"
    started_from = running_leader()
    started_from.hear(Restored(1, Resume("/saves/x", 20, ref(20))))
    only(started_from.saves(20), Upload)


def test_a_step_that_is_left_out_is_told_also_when_the_upload_had_to_be_tried_again() -> None:
    scene = follows()
    scene.saves(30)
    leader(scene, AgentState.RUNNING, 20)
    assert none_of(scene.hear(Uploaded(1, Trouble("the bucket is away"))), Upload)
    assert only(scene.later(2.0), Upload).skips == 20


def waits_for_a_part(seconds: float) -> Scene:
    scene = running_leader()
    scene.saves(20)
    scene.hear(Uploaded(1, draft(20)))
    scene.hear(Committed(1, Incomplete((1,), ())))
    scene.later(seconds)
    return scene


def test_a_part_that_never_comes_does_not_hold_up_the_end_for_ever() -> None:
    scene = waits_for_a_part(0.0)
    assert none_of(scene.exits(0), FinishOutputs)
    scene.later(899.0)
    only(scene.hear(Committed(1, Incomplete((1,), ()))) + scene.later(2.0), FinishOutputs)
    end = only(scene.hear(OutputsFinished(1, "all there")), End)
    assert end.code == 0
    assert "node 1" in end.why


def test_a_bucket_that_is_away_is_no_missing_part() -> None:
    scene = waits_for_a_part(0.0)
    scene.exits(0)
    scene.later(899.0)
    assert none_of(scene.hear(Committed(1, Trouble("away"))) + scene.later(60.0), FinishOutputs, End)
    only(scene.hear(Committed(1, Incomplete((1,), ()))), FinishOutputs)


def test_a_part_that_is_missing_for_long_is_told_once_whenever_the_look_comes() -> None:
    scene = waits_for_a_part(290.0)
    scene.hear(Committed(1, Trouble("away")))
    for _ in range(3):
        scene.later(60.0)
        scene.hear(Committed(1, Incomplete((1,), ())))
    told = [fact.why for fact in scene.view.telling.facts if fact.kind == "tell"]
    assert len(told) == 1
    assert "part of node 1" in told[0]


def test_the_trainer_is_not_ended_before_all_parts_of_the_final_save_are_there() -> None:
    """Its end breaks the others' trainers, and what one of them is still writing."""
    scene = running_leader()
    scene.told(Command(CommandKind.DRAIN, 1, why="a notice", limit_s=60.0))
    scene.saves(20)
    scene.hear(Uploaded(1, draft(20)))
    assert none_of(scene.later(5.0), Kill)
    scene.hear(Committed(1, Incomplete((1,), ())))
    assert none_of(scene.later(20.0), Kill)
    only(scene.hear(Committed(1, Applied(pointer(ref(20)), "committed"))), Kill)
