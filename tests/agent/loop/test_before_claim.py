"""Before the claim: claim late, with the newest word only, and give up without a trace."""

from __future__ import annotations

from dataclasses import replace

from tests.agent.loop.scene import ASSIGN, RUN, Scene, none_of, only, pointer, ref

from outlast.acts import Begin, Claim, Exit, Over, Prepare, Recover, Release, Remember, Restore
from outlast.bucket.outcomes import Applied, Fenced, Stop, Wait
from outlast.decide import decide
from outlast.fold import fold
from outlast.news import (
    ClaimAnswered,
    Prepared,
    Recovered,
    Remembered,
    ReportAnswered,
    ReportFailed,
    ShutdownAsked,
    StraySeen,
    Trouble,
)
from outlast.protocol.messages import AgentState, Command, CommandKind, Failure, Permission, Reply, WriterRef
from outlast.protocol.objects import PointerState

ABANDON = Command(CommandKind.ABANDON, 1, why="paused")


def test_an_assignment_is_prepared_then_the_writer_is_put_on_disk_before_anyone_hears_of_it() -> None:
    scene = Scene()
    acts = scene.told(ASSIGN)
    assert isinstance(acts[0], Begin)
    assert isinstance(acts[1], Prepare)
    only(scene.hear(Prepared(1, "ready")), Remember)
    assert scene.assignment.writer == ""
    assert scene.is_(AgentState.PREPARING)
    scene.hear(Remembered(1, "w"))
    assert scene.is_(AgentState.WAITING)


def test_no_claim_without_the_controllers_word() -> None:
    scene = Scene().waiting()
    assert scene.asks()
    assert none_of(scene.answered(ASSIGN), Claim)


def test_run_counts_only_in_the_answer_to_a_report_that_asked() -> None:
    scene = Scene().waiting()
    assert none_of(scene.told(ASSIGN, RUN), Claim)
    early = ReportAnswered(Reply((ASSIGN, RUN)), None)  # sent before the writer was known
    assert none_of(scene.hear(early), Claim)
    only(scene.answered(ASSIGN, RUN), Claim)


def test_every_try_asks_anew_about_a_second_later() -> None:
    scene = Scene().waiting()
    scene.answered(ASSIGN, RUN)
    scene.hear(ClaimAnswered(1, Wait("generation 0 is running")))
    assert none_of(scene.done[-1:], Restore)
    assert not scene.asks()
    scene.later(1.0)
    assert scene.asks()
    assert none_of(scene.later(0.1), Claim)
    only(scene.answered(ASSIGN, RUN), Claim)


def test_a_changed_permission_is_worth_a_question_at_once() -> None:
    scene = Scene().waiting()
    scene.answered(ASSIGN, RUN)
    scene.hear(ClaimAnswered(1, Wait("generation 0 is running")))
    scene.view = replace(scene.view, now_s=scene.view.now_s + 0.3)
    closed = replace(RUN, permission=Permission(closed=(WriterRef(0, "old"),)))
    scene.told(ASSIGN, closed)
    assert scene.asks()


def test_a_report_that_fails_takes_the_permission_with_it() -> None:
    scene = Scene().waiting()
    scene.notice(120.0)
    scene.answered(ASSIGN, RUN)  # held back by the notice
    scene.hear(ReportFailed("down"))
    assert none_of(scene.withdrawn(), Claim)


def test_a_permission_that_is_taken_back_is_gone() -> None:
    scene = Scene().waiting()
    scene.notice(120.0)
    scene.answered(ASSIGN, RUN)
    scene.told(ASSIGN)
    assert none_of(scene.withdrawn(), Claim)


def test_a_node_with_a_notice_does_not_claim() -> None:
    scene = Scene().waiting()
    scene.notice(120.0)
    assert none_of(scene.answered(ASSIGN, RUN), Claim)
    only(scene.withdrawn(), Claim)


def test_told_to_give_up_it_never_claims_any_more() -> None:
    scene = Scene().waiting()
    assert only(scene.told(ABANDON), Over).state is AgentState.ABANDONED
    assert scene.answered(ASSIGN, RUN) == []
    assert scene.is_(AgentState.ABANDONED)


def test_a_claim_in_flight_is_resolved_before_it_gives_up() -> None:
    scene = Scene().waiting()
    scene.answered(ASSIGN, RUN)
    assert scene.told(ABANDON) == []
    assert scene.is_(AgentState.WAITING)
    acts = scene.hear(ClaimAnswered(1, Wait("not allowed")))
    assert only(acts, Over).state is AgentState.ABANDONED


def test_a_claim_that_was_applied_after_all_is_drained() -> None:
    scene = Scene().waiting()
    scene.answered(ASSIGN, RUN)
    scene.told(ABANDON)
    acts = scene.hear(ClaimAnswered(1, Applied(pointer(), "claimed")))
    assert scene.is_(AgentState.DRAINING)
    assert scene.assignment.writer == "w"
    only(acts, Release)


def test_a_fenced_claim_ends_the_assignment() -> None:
    scene = Scene().waiting()
    scene.answered(ASSIGN, RUN)
    scene.hear(ClaimAnswered(1, Fenced("generation 2 owns the job")))
    assert scene.is_(AgentState.FENCED)


def test_an_alarm_at_the_claim_is_a_failure_for_a_person() -> None:
    scene = Scene().waiting()
    scene.answered(ASSIGN, RUN)
    scene.hear(ClaimAnswered(1, Stop("the pointer is absent although step 7 was durable")))
    assert scene.is_(AgentState.FAILED)
    assert scene.assignment.failure is not None
    assert scene.assignment.failure.fatal


def test_a_bucket_that_can_not_be_reached_is_tried_for_ever_and_one_that_refuses_is_told() -> None:
    for lasting, state in ((False, AgentState.WAITING), (True, AgentState.FAILED)):
        scene = Scene().waiting()
        for _ in range(8):
            scene.later(60.0)
            scene.answered(ASSIGN, RUN)
            scene.hear(ClaimAnswered(1, Trouble("403", lasting=lasting)))
        assert scene.is_(state)


def test_a_preparation_that_fails_says_why() -> None:
    scene = Scene()
    scene.told(ASSIGN)
    scene.hear(Prepared(1, Failure("setup", "code 7")))
    assert scene.is_(AgentState.FAILED)


def test_only_a_higher_generation_is_taken_on() -> None:
    scene = Scene().waiting()
    scene.told(ABANDON)
    assert scene.told(ASSIGN) == []
    only(scene.told(replace(ASSIGN, generation=2)), Begin)
    assert scene.view.past == (WriterRef(1, "w"),)


def test_a_newer_assignment_ends_an_unclaimed_one() -> None:
    scene = Scene().waiting()
    acts = scene.told(replace(ASSIGN, generation=2))
    assert only(acts, Over).state is AgentState.ABANDONED
    assert only(acts, Begin).command.generation == 2


def test_a_claimed_one_is_not_left_for_a_newer_assignment() -> None:
    scene = Scene().running()
    assert none_of(scene.told(replace(ASSIGN, generation=2)), Begin, Over)


# an agent that was restarted


def restarted() -> Scene:
    scene = Scene()
    scene.view = replace(scene.view, generation_max=1, stray=WriterRef(1, "w"), remembered_attempt="a1")
    return scene


def test_restarted_it_settles_its_old_writer_before_anything_else() -> None:
    scene = restarted()
    acts = scene.told(replace(ASSIGN, generation=2))
    assert [type(act) for act in acts] == [Recover]
    acts = scene.hear(Recovered(WriterRef(1, "w"), Applied(pointer(state=PointerState.RELEASED), "released")))
    only(acts, Begin)


def test_restarted_it_says_how_its_old_attempt_ended() -> None:
    for outcome, state in (
        (Applied(pointer(ref(3), PointerState.RELEASED), "released"), AgentState.RELEASED),
        (Applied(pointer(ref(3), PointerState.ENDED), "ended"), AgentState.ENDED),
        (Wait("never claimed"), AgentState.ABANDONED),
    ):
        scene = restarted()
        scene.told(ASSIGN)
        scene.hear(Recovered(WriterRef(1, "w"), outcome))
        assert scene.is_(state)
        assert (scene.assignment.generation, scene.assignment.writer) == (1, "w")


def test_a_late_claim_of_an_earlier_life_is_released_whenever_it_shows() -> None:
    scene = Scene().running()
    acts = scene.hear(StraySeen(WriterRef(0, "old")))
    only(acts, Recover)
    scene.hear(Recovered(WriterRef(0, "old"), Applied(pointer(state=PointerState.RELEASED), "released")))
    assert scene.is_(AgentState.RUNNING)


def test_told_to_stop_without_work_the_agent_exits() -> None:
    view = fold(Scene().view, ShutdownAsked())
    assert [type(act) for act in decide(view).acts] == [Exit]
