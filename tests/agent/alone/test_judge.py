"""What a lone agent concludes from its own readings of the bucket, and what it does after an attempt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outlast.alone.judge import (
    EXIT_NEEDS_A_PERSON,
    EXIT_TAKEN_OVER,
    Again,
    Done,
    Run,
    Sick,
    Sight,
    Wait,
    Watch,
    after,
    judge,
    look,
)
from outlast.bucket.outcomes import ClaimAsk, Identity, Stop, Write
from outlast.bucket.pointer import judge_claim
from outlast.protocol.messages import HEALTH, AgentState, Failure, Notice, Report, SaveStatus, WriterRef
from outlast.protocol.objects import ManifestRef, Pointer, PointerState

LEASE_S = 600.0
LIMIT_S = 660.0
HEAD = ManifestRef("manifests/000000010-g1-aa.json", "xxh3-128:1", 10)
NEWER = ManifestRef("manifests/000000020-g1-bb.json", "xxh3-128:2", 20)
THEM = WriterRef(3, "w3")
ME = Identity("own", "job", 4, "w4")


def pointer(state: PointerState = PointerState.RUNNING, code: int | None = None) -> Pointer:
    return Pointer(1, "own", "job", 3, "w3", (), 7, state, HEAD, (HEAD,), "", exit_code=code, why="because")


def at(
    begun_s: float, found: Pointer | None, *, took_s: float = 0.0, status: str = "s1", **more: object
) -> Sight:
    version = "" if found is None else f"v{found.seq}"
    return replace(Sight(begun_s, begun_s + took_s, found, version, status), **more)  # type: ignore[arg-type]


def seen(*sights: Sight) -> Watch:
    watch = Watch()
    for sight in sights:
        watch = look(watch, sight)
    return watch


def verdict(*sights: Sight, restart: bool = False) -> Run | Wait | Done:
    return judge(seen(*sights), sights[-1], lease_s=LEASE_S, restart=restart)


def claimed(said: Run | Wait | Done, found: Pointer | None) -> object:
    """What the very code of the claim makes of the permission."""
    assert isinstance(said, Run)
    return judge_claim(found, ClaimAsk(ME, said.permission, "now"))


def test_without_a_pointer_the_first_run_claims() -> None:
    assert isinstance(claimed(verdict(at(0.0, None)), None), Write)


def test_checkpoints_without_a_pointer_are_an_alarm() -> None:
    answer = claimed(verdict(at(0.0, None, orphaned_step=40)), None)
    assert isinstance(answer, Stop)
    assert "step 40" in answer.why


def test_a_pointer_that_vanishes_while_one_waits_is_an_alarm() -> None:
    assert isinstance(claimed(verdict(at(0.0, pointer()), at(5.0, None)), None), Stop)


def test_what_was_released_is_claimed_at_once() -> None:
    found = pointer(PointerState.RELEASED)
    assert isinstance(claimed(verdict(at(0.0, found)), found), Write)


def test_somebody_who_writes_its_status_is_waited_for() -> None:
    sights = [at(10.0 * n, pointer(), status=f"s{n}") for n in range(200)]
    assert isinstance(verdict(*sights), Wait)


def test_so_is_somebody_whose_pointer_moves() -> None:
    sights = [at(300.0 * n, replace(pointer(), seq=7 + n)) for n in range(20)]
    assert isinstance(verdict(*sights), Wait)


def test_it_is_closed_after_its_lease_and_a_margin_between_two_readings() -> None:
    first = at(100.0, pointer(), took_s=4.0)
    assert isinstance(verdict(first, at(104.0 + LIMIT_S - 0.1, pointer())), Wait)
    said = verdict(first, at(104.0 + LIMIT_S, pointer()))
    assert isinstance(said, Run)
    assert said.permission.closed == (THEM,)
    assert isinstance(claimed(said, pointer()), Write)


def test_one_reading_is_no_silence_however_long_it_took_or_whatever_the_clock_says() -> None:
    assert isinstance(verdict(at(1e9, pointer(), took_s=10 * LIMIT_S)), Wait)


def test_a_reading_that_was_frozen_counts_from_when_it_was_sent() -> None:
    """The second request was sent early, and its answer looked at after an hour of suspension."""
    assert isinstance(verdict(at(0.0, pointer()), at(5.0, pointer(), took_s=3600.0)), Wait)


def test_a_sign_of_life_begins_the_count_anew() -> None:
    sights = (at(0.0, pointer()), at(600.0, pointer(), status="s2"), at(1200.0, pointer(), status="s2"))
    assert isinstance(verdict(*sights), Wait)


def test_who_never_wrote_a_status_is_closed_as_well() -> None:
    said = verdict(at(0.0, pointer(), status=""), at(LIMIT_S, pointer(), status=""))
    assert isinstance(said, Run)


def test_a_longer_lease_that_the_other_tells_holds() -> None:
    sights = (at(0.0, pointer(), lease_s=3600.0), at(LIMIT_S, pointer(), lease_s=3600.0))
    assert isinstance(verdict(*sights), Wait)
    assert isinstance(verdict(sights[0], at(3660.0, pointer(), lease_s=3600.0)), Run)
    short = (at(0.0, pointer(), lease_s=30.0), at(LIMIT_S - 1, pointer(), lease_s=30.0))
    assert isinstance(verdict(*short), Wait)


def test_a_done_job_is_done_and_says_how_to_run_it_again() -> None:
    said = verdict(at(0.0, pointer(PointerState.ENDED, 0)))
    assert isinstance(said, Done)
    assert said.code == 0
    assert "--restart" in said.why
    assert "--name" in said.why


@pytest.mark.parametrize(("code", "restart"), [(0, True), (3, False)])
def test_an_end_that_was_there_at_the_start_is_stepped_over(code: int, restart: bool) -> None:
    found = pointer(PointerState.ENDED, code)
    said = verdict(at(0.0, found), at(5.0, found), restart=restart)
    assert isinstance(claimed(said, found), Write)


@pytest.mark.parametrize("code", [0, 3])
def test_an_end_that_came_while_one_waited_is_nobodys_wish_to_go_on(code: int) -> None:
    ended = replace(pointer(PointerState.ENDED, code), seq=8)
    said = verdict(at(0.0, pointer()), at(5.0, ended), restart=True)
    assert isinstance(said, Done)
    assert said.code == code


def test_the_wish_is_for_one_end_only() -> None:
    first = pointer(PointerState.ENDED, 3)
    second = replace(first, generation=5, writer="w5", seq=20)
    assert isinstance(verdict(at(0.0, first), at(5.0, second)), Done)


# After an attempt


def report(state: AgentState, **more: object) -> Report:
    base = Report("job", 4, 0, "here", "boot", 1, state, why="because", save=SaveStatus(durable=HEAD))
    return replace(base, **more)  # type: ignore[arg-type]


def test_an_end_gives_the_trainers_own_code() -> None:
    assert after(report(AgentState.ENDED, exit_code=0), claimed=True, began_at=None) == Done(0, "because")
    assert after(report(AgentState.ENDED, exit_code=7), claimed=True, began_at=None) == Done(7, "because")


def test_fenced_before_the_claim_waits_again_and_after_it_gives_way() -> None:
    assert isinstance(after(report(AgentState.FENCED), claimed=False, began_at=HEAD), Again)
    said = after(report(AgentState.FENCED), claimed=True, began_at=HEAD)
    assert isinstance(said, Done)
    assert said.code == EXIT_TAKEN_OVER


def test_a_failure_before_the_training_is_for_a_person() -> None:
    failed = report(AgentState.FAILED, failure=Failure("restore", "nothing verifies"))
    assert after(failed, claimed=True, began_at=HEAD) == Done(EXIT_NEEDS_A_PERSON, "nothing verifies")


def test_a_trainer_that_saved_and_left_goes_on_and_one_that_only_left_does_not() -> None:
    released = report(AgentState.RELEASED, save=SaveStatus(durable=NEWER))
    assert isinstance(after(released, claimed=True, began_at=HEAD), Again)
    said = after(released, claimed=True, began_at=NEWER)
    assert isinstance(said, Done)
    assert said.code == EXIT_NEEDS_A_PERSON


def test_a_node_that_is_taken_away_leaves() -> None:
    said = after(report(AgentState.RELEASED, notice=Notice("terminate")), claimed=True, began_at=None)
    assert isinstance(said, Done)
    assert (said.code, said.left) == (EXIT_TAKEN_OVER, True)


def test_saves_that_were_refused_are_tried_once_more_from_the_last_good_one_and_then_for_a_person() -> None:
    failed = report(AgentState.FAILED, failure=Failure(HEALTH, "3 in a row were quarantined"))
    first = after(failed, claimed=True, began_at=HEAD)
    assert isinstance(first, Again)
    assert first.unhealthy
    assert "step 10" in first.why
    said = after(failed, claimed=True, began_at=HEAD, sick=Sick(HEAD))
    assert isinstance(said, Done)
    assert said.code == EXIT_NEEDS_A_PERSON
    assert "3 in a row" in said.why
    assert "--health" in said.why
    between = replace(failed, save=SaveStatus(durable=NEWER))
    assert isinstance(after(between, claimed=True, began_at=HEAD, sick=Sick(HEAD)), Again)
