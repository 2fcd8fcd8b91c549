"""A refusal for good holds until a person does something about it; one for a time passes by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.build import JOB, NOW_AT, actions, after, attempt, decided, view

from outlast_orchestrator.core.actions import Launch
from outlast_orchestrator.core.types import AttemptPhase, Block, BlockedBy, JobState, Progress
from outlast_orchestrator.core.view import JobView

DENIED_AT = NOW_AT - 100.0
DENIED = Block("here", BlockedBy.DENIED, None, "ec2:CreateFleet is not allowed", since=DENIED_AT)


def wanting(block: Block, *, wish_at: float = 0.0, created_at: float = NOW_AT - 5000.0) -> JobView:
    """Generation 1 is planned and has no machine yet."""
    mine = attempt(1, phase=AttemptPhase.PREPARING, claimed=False, writer="")
    progress = Progress("j1", generation_max=1, wish_at=wish_at)
    return view(job=replace(JOB, created_at=created_at), attempts=(mine,), progress=progress, blocks=(block,))


def test_without_a_person_it_is_not_tried_again_however_long_ago_it_was() -> None:
    long_ago = wanting(replace(DENIED, since=NOW_AT - 4000.0))
    assert actions(decided(long_ago), Launch) == []
    assert after(long_ago).progress.state is JobState.FAILED
    assert "not allowed" in after(long_ago).progress.why


@pytest.mark.parametrize("person", [{"wish_at": DENIED_AT + 50.0}, {"created_at": DENIED_AT + 50.0}])
def test_who_resumes_updates_or_submits_after_it_wants_it_tried_again(person: dict[str, float]) -> None:
    """The rights may have been mended meanwhile, and nobody else can say so."""
    assert len(actions(decided(wanting(DENIED, **person)), Launch)) == 1


def test_what_is_refused_again_is_for_good_again() -> None:
    again = replace(DENIED, since=NOW_AT - 10.0)
    assert actions(decided(wanting(again, wish_at=NOW_AT - 50.0)), Launch) == []


def test_a_refusal_for_a_time_is_not_lifted_by_a_wish() -> None:
    dry = replace(DENIED, by=BlockedBy.CAPACITY, until=NOW_AT + 60.0)
    view_ = wanting(dry, wish_at=NOW_AT - 1.0)
    assert actions(decided(view_), Launch) == []
    assert after(view_).progress.state is not JobState.FAILED
    assert len(actions(decided(wanting(replace(dry, until=NOW_AT - 1.0))), Launch)) == 1
