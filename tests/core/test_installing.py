"""What becomes of a machine on which the agent can't be installed: told once, repeated, ended if hopeless."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.build import (
    JOB,
    LIMITS,
    NOW_AT,
    OFFER,
    actions,
    after,
    attempt,
    decided,
    events,
    heard,
    machine,
    record,
    seen,
    view,
)

from outlast.protocol.messages import AgentState
from outlast_orchestrator.core.actions import Install, Terminate
from outlast_orchestrator.core.errors import Capacity, Invalid, ProviderError, Scope, ScopeKind, Transient
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.place import NotNow, place
from outlast_orchestrator.core.types import AttemptPhase, InstancePhase, Progress
from outlast_orchestrator.core.view import NEVER_S, Call, CallDone, CallKind, InstanceView, JobView
from outlast_orchestrator.policies.cheapest import cheapest

TROUBLE = Transient(
    "i-m1: ssh to 10.0.0.1:22: connection refused", Scope(ScopeKind.CALL, "call/here/install")
)
UNFIT = Invalid("i-m1: its image has no Python", Scope(ScopeKind.REGION, "here/r1"))


def booting(*done: ProviderError | None, **more: object) -> JobView:
    """Generation 1 waits for its machine; `done`: how tries to install it ended."""
    mine = attempt(1, "m1", phase=AttemptPhase.PREPARING, claimed=False, writer="")
    box = machine("m1", record=record("m1", InstancePhase.BOOTING, **more), unheard_s=30.0)
    ended = tuple(CallDone(Call(CallKind.INSTALL, "m1"), error) for error in done)
    progress = Progress("j1", generation_max=1)
    return view(progress=progress, attempts=(mine,), instances=(box,), done=ended)


def again(view_: JobView, *done: ProviderError | None) -> JobView:
    ended = tuple(CallDone(Call(CallKind.INSTALL, "m1"), error) for error in done)
    return replace(after(view_), done=ended)


def test_a_trouble_is_told_once_shown_as_long_as_it_lasts_and_tried_again() -> None:
    first = booting(TROUBLE)
    (told,) = events(decided(first), Kind.INSTALL_TROUBLE)
    assert (told.why, told.data) == (str(TROUBLE), {"launch": "m1"})
    assert "connection refused" in decided(first).why
    second = again(first, TROUBLE)
    assert events(decided(second), Kind.INSTALL_TROUBLE) == []
    assert "connection refused" in decided(second).why
    assert [one.instance.launch_id for one in actions(decided(second), Install)] == ["m1"]
    (mended,) = events(decided(again(second, None)), Kind.INSTALL_MENDED)
    assert "installed" in mended.why
    assert "refused" not in decided(again(second, None)).why


def test_without_a_trouble_there_is_no_news() -> None:
    decision = decided(booting(None))
    assert events(decision, Kind.INSTALL_MENDED) + events(decision, Kind.INSTALL_TROUBLE) == []


def test_an_image_that_no_agent_runs_on_ends_at_once_and_no_other_one_is_made_there() -> None:
    first = booting(UNFIT)
    decision = decided(first)
    assert str(UNFIT) in events(decision, Kind.TELL)[0].why
    ended = after(first)
    assert ended.instances[0].record.phase is InstancePhase.TERMINATING
    assert [one.instance.launch_id for one in actions(decided(ended), Terminate)] == ["m1"]
    (block,) = ended.blocks
    assert (block.scope, block.until) == ("here/r1", None)
    assert actions(decided(ended), Install) == []
    found = place(JOB, [OFFER], ended.blocks, cheapest, NOW_AT, 0.0)
    assert isinstance(found, NotNow)
    assert found.until is None
    assert str(UNFIT) in found.why


def test_a_machine_with_bad_gpus_is_replaced_by_another_one_soon() -> None:
    bad = Capacity("i-m1: 1 of 2 GPUs answer", Scope(ScopeKind.POOL, OFFER.pool))
    first = booting(bad)
    assert events(decided(first), Kind.TELL) == []
    ended = after(first)
    assert ended.instances[0].record.phase is InstancePhase.TERMINATING
    (block,) = ended.blocks
    assert block.scope == OFFER.pool
    assert block.until is not None


def test_an_answer_that_comes_after_the_agent_is_no_news() -> None:
    """It spoke before the connection ended."""
    view_ = booting(UNFIT)
    spoke = machine("m1", heard("m1", 1, AgentState.PREPARING), record=record("m1"))
    decision = decided(replace(view_, instances=(spoke,)))
    assert events(decision, Kind.TELL) == []
    assert decided(replace(view_, instances=())).actions is not None


def test_what_was_wrong_last_is_told_when_the_machine_is_given_up() -> None:
    late = NOW_AT - LIMITS.boot_limit_s - 10
    view_ = booting(install_why=str(TROUBLE), started_at=late)
    old = seen("m1")
    box = replace(view_.instances[0], unheard_s=LIMITS.boot_limit_s + 5, seen=replace(old, started_at=late))
    (told,) = events(decided(replace(view_, instances=(box,))), Kind.TELL)
    assert "its agent did not; the last try to install it: i-m1: ssh to 10.0.0.1:22" in told.why


@pytest.mark.parametrize("phase", [InstancePhase.LAUNCHING, InstancePhase.BOOTING, InstancePhase.READY])
def test_the_public_address_comes_after_the_private_one(phase: InstancePhase) -> None:
    box = InstanceView(
        record("m1", phase, address="10.0.0.1"), seen=replace(seen("m1"), address="3.4.5.6"), seen_s=NEVER_S
    )
    row = after(view(attempts=(attempt(1, "m1"),), instances=(box,))).instances[0].record
    assert row.address == ("10.0.0.1" if phase is InstancePhase.READY else "3.4.5.6")
