"""How far silence is proven: up to the newest look into the bucket, and not a second beyond."""

from __future__ import annotations

import pytest
from tests.core.build import (
    LIMITS,
    NOW_S,
    actions,
    after,
    attempt,
    decided,
    heard,
    machine,
    running,
    waiting,
)

from outlast.protocol.messages import AgentState, Notice
from outlast_orchestrator.core.actions import TakeGeneration
from outlast_orchestrator.core.types import AttemptPhase, InstancePhase, JobState

LEASE_S = LIMITS.lease_s + LIMITS.lease_margin_s
UNREAD_S = 17.0


@pytest.mark.parametrize(
    ("silent_s", "closes"), [(LEASE_S + UNREAD_S - 1, False), (LEASE_S + UNREAD_S + 1, True)]
)
def test_a_node_may_have_woken_since_the_bucket_was_last_read(silent_s: float, closes: bool) -> None:
    """A paused machine woke and wrote to the bucket, cut off from the controller, in the last seconds of
    its time: it was closed and ended on what had been read before. One more look, and it would have lived."""
    quiet = machine("m1", heard("m1", 1, AgentState.RUNNING, silent_s=silent_s), unread_s=UNREAD_S)
    before = running(instances=(quiet,))
    decision = decided(before)
    found = after(before, decision)
    assert (found.attempts[0].phase is AttemptPhase.CLOSED) is closes
    assert (found.instances[0].record.phase is InstancePhase.TERMINATING) is closes
    assert bool(actions(decision, TakeGeneration)) is closes
    if not closes:
        assert found.progress.state is JobState.UNREACHABLE
        assert decision.wake_s is not None
        assert NOW_S + 0.5 < decision.wake_s <= NOW_S + 5.0


@pytest.mark.parametrize(("unread_s", "gives_up"), [(UNREAD_S, False), (1.0, True)])
def test_a_replacement_is_not_given_up_before_that_look_either(unread_s: float, gives_up: bool) -> None:
    quiet = machine("m2", heard("m2", 2, AgentState.WAITING, silent_s=LEASE_S + 5.0), unread_s=unread_s)
    first = machine("m1", heard("m1", 1, AgentState.RUNNING, notice=Notice("terminate", 60.0)))
    attempts = (attempt(1, "m1", noticed=True), waiting(2, "m2"))
    before = running(attempts=attempts, instances=(first, quiet))
    assert after(before, decided(before)).attempts[1].abandoned is gives_up
