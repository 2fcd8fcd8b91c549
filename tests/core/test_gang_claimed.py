"""Gangs that own the job: whose loss ends what, who is told what, and what counts as a failure."""

from __future__ import annotations

from dataclasses import replace

from tests.core.build import (
    NOW_AT,
    NOW_S,
    REF,
    actions,
    after,
    attempt,
    decided,
    events,
    lost,
    pointer,
    told,
)
from tests.core.gangs import (
    TRIO,
    kinds,
    node,
    replace_ref,
    training,
)

from outlast.protocol.messages import AgentState, CommandKind, Failure, Notice
from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.actions import TakeGeneration, Terminate
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.types import (
    AttemptPhase,
    InstancePhase,
    JobState,
    Progress,
    Restart,
)


def test_a_lost_node_closes_nothing_while_the_first_one_lives() -> None:
    found = training(node("m0", 0, AgentState.RUNNING), lost("m1", 1))
    decision = decided(found)
    assert not events(decision, Kind.ATTEMPT_CLOSED)
    assert after(found, decision).progress.closed == ()
    drains = events(decision, Kind.ATTEMPT_DRAINING)[0]
    assert "node 1 is lost" in drains.why
    assert drains.data["cause"] == "node lost"
    assert kinds(found, "m0") == [CommandKind.STOP]
    assert (told(decision, "m0") or ())[0].limit_s


def test_the_first_nodes_death_closes_the_writer_and_stops_the_others() -> None:
    found = training(lost("m0", 1), node("m1", 1, AgentState.RUNNING))
    decision = decided(found)
    assert events(decision, Kind.ATTEMPT_CLOSED)
    assert after(found, decision).progress.closed == ((1, "w1"),)
    assert kinds(found, "m1") == [CommandKind.STOP]


def test_a_silent_node_within_its_lease_is_left_alone() -> None:
    found = training(node("m0", 0, AgentState.RUNNING), node("m1", 1, AgentState.RUNNING, silent_s=100.0))
    decision = decided(found)
    assert after(found, decision).progress.state is JobState.UNREACHABLE
    assert "(node 1)" in decision.why
    assert kinds(found, "m0") == []
    assert not actions(decision, Terminate)


def test_a_node_beyond_its_lease_ends_the_attempt_but_never_closes_the_writer() -> None:
    found = training(node("m0", 0, AgentState.RUNNING), node("m1", 1, AgentState.RUNNING, silent_s=700.0))
    decision = decided(found)
    assert not events(decision, Kind.ATTEMPT_CLOSED)
    assert kinds(found, "m0") == [CommandKind.STOP]


def test_a_notice_to_any_node_makes_all_of_them_save_and_leave_and_plans_the_next() -> None:
    noticed = node("m1", 1, AgentState.DRAINING, notice=Notice("terminate", 90.0))
    found = training(node("m0", 0, AgentState.RUNNING), noticed)
    decision = decided(found)
    assert actions(decision, TakeGeneration)
    commands = told(decision, "m0") or ()
    assert [command.kind for command in commands] == [CommandKind.DRAIN]
    assert commands[0].limit_s == 70.0
    asked_too = replace(found, job=replace(found.job, restart=Restart(1)))
    causes = [events(decided(one), Kind.ATTEMPT_DRAINING)[0].data["cause"] for one in (found, asked_too)]
    assert causes == ["notice", "notice"], "it does not wait for what a restart has to wait for"


def test_a_first_node_that_may_only_be_cut_off_is_not_ended_for_anothers_loss() -> None:
    late = replace(attempt(1, "m0", "m1"), noticed=True, draining_since=NOW_AT - 1000)
    silent = node("m0", 0, AgentState.RUNNING, silent_s=300.0)
    other = node("m1", 1, AgentState.DRAINING, notice=Notice("terminate", 10.0))
    left = after(training(silent, other, attempts=(late,))).instances
    assert not [m for m in left if m.record.phase is InstancePhase.TERMINATING]


def test_a_first_node_is_overdue_only_after_it_has_said_for_so_long_that_it_leaves() -> None:
    """One that was cut off and is heard again has had no time to save."""
    late = replace(attempt(1, "m0", "m1"), noticed=True, draining_since=NOW_AT - 1000)
    other = node("m1", 1, AgentState.DRAINING, notice=Notice("terminate", 10.0))
    for state, since_s, ends in (
        (AgentState.RUNNING, 1000.0, False),
        (AgentState.DRAINING, 1.0, False),
        (AgentState.DRAINING, 1000.0, True),
    ):
        first = node("m0", 0, state)
        assert first.heard is not None
        first = replace(first, heard=replace(first.heard, state_s=NOW_S - since_s))
        left = after(training(first, other, attempts=(late,))).instances
        ended = [m.record.launch_id for m in left if m.record.phase is InstancePhase.TERMINATING]
        assert ended == (["m0"] if ends else [])


def test_others_are_told_when_the_first_node_has_left() -> None:
    found = training(
        node("m0", 0, AgentState.RELEASED),
        node("m1", 1, AgentState.RUNNING),
        pointer_=pointer(1, PointerState.RELEASED),
    )
    assert kinds(found, "m1") == [CommandKind.STOP]
    assert after(found).attempts[0].open, "the other node has not said yet how it ended"


def test_a_node_that_can_not_end_its_trainer_does_not_hold_up_the_job_for_ever() -> None:
    """A process that hangs in its driver can't be killed, and its agent says so as long as it likes."""
    stuck, crash = node("m1", 1, AgentState.RUNNING), Failure("trainer", "failed, code 1", exit_code=1)
    for state, ended in (
        (AgentState.RELEASED, pointer(1, PointerState.RELEASED)),
        (AgentState.ENDED, pointer(1, PointerState.ENDED, exit_code=1)),
    ):
        for since_s, waits in ((100.0, True), (130.0, False)):
            first = node("m0", 0, state, state_s=NOW_S - since_s, failure=crash)
            found = training(first, stuck, pointer_=ended)
            decision = decided(found)
            assert after(found, decision).attempts[0].open is waits
            assert not events(decision, Kind.ATTEMPT_FAILED), "the machine is to blame"


def test_a_crash_beside_a_lost_machine_is_no_failure_of_the_job() -> None:
    crash = Failure("trainer", "the trainer failed, code 1", exit_code=1)
    found = training(
        node("m0", 0, AgentState.ENDED, failure=crash),
        node("m1", 1, AgentState.RUNNING, silent_s=20.0),
        pointer_=pointer(1, PointerState.ENDED, exit_code=1),
    )
    decision = decided(found)
    assert not events(decision, Kind.ATTEMPT_FAILED)
    assert events(decision, Kind.ATTEMPT_CLOSED)
    assert after(found, decision).progress.failures == 0


def test_a_failure_is_that_of_the_node_where_it_began() -> None:
    crash = Failure("trainer", "the trainer failed, code 1", exit_code=1)
    memory = Failure("trainer", "the trainer out of memory, code 137", exit_code=137)
    found = training(
        node("m0", 0, AgentState.ENDED, failure=crash),
        node("m1", 1, AgentState.FAILED, failure=memory),
        pointer_=pointer(1, PointerState.ENDED, exit_code=1),
    )
    failed = events(decided(found), Kind.ATTEMPT_FAILED)
    assert [event.why for event in failed] == [memory.message]


def test_success_is_the_first_nodes_to_tell() -> None:
    found = training(
        node("m0", 0, AgentState.ENDED),
        node("m1", 1, AgentState.RUNNING),
        pointer_=pointer(1, PointerState.ENDED, exit_code=0),
    )
    assert after(found).progress.state is JobState.SUCCEEDED


def test_a_store_without_records_finds_all_nodes_by_the_pointer() -> None:
    named = pointer(1)
    refs = tuple(replace_ref(launch) for launch in ("m0", "m1", "m2"))
    nodes = (node("m0", 0, AgentState.RUNNING), node("m2", 2, AgentState.RUNNING))
    found = training(*nodes, job=TRIO, attempts=(), pointer_=replace(named, instances=refs))
    found = replace(found, progress=Progress("j1", durable=REF))
    adopted = after(found).attempts[0]
    assert adopted.launches == ("m0", "", "m2")
    assert adopted.phase is AttemptPhase.RUNNING
