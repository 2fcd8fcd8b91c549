"""The registry of nodes: silence is counted, never computed from stored times."""

from __future__ import annotations

import pytest
from tests.controller.stage import report
from tests.fakes.hand_clock import HandClock

from outlast.protocol.messages import AgentState, Command, CommandKind, Fact, Notice
from outlast_orchestrator.controller.nodes import NodeRegistry

RUN = Command(CommandKind.RUN, 1)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def nodes(clock: HandClock, woken: list[str]) -> NodeRegistry:
    return NodeRegistry(clock, lambda: woken.append("now"))


def pass_time(nodes: NodeRegistry, clock: HandClock, ticks: int, seconds: float = 1.0) -> None:
    nodes.account(True)
    for _ in range(ticks):
        clock.forward(seconds)
        nodes.account(True)


def silence(nodes: NodeRegistry) -> float:
    return nodes.heard()["l1"].silent_s


def test_silence_grows_with_the_ticks_and_ends_with_a_report(nodes: NodeRegistry, clock: HandClock) -> None:
    nodes.receive(report())
    pass_time(nodes, clock, 7)
    assert silence(nodes) == 7.0
    nodes.receive(report(seq=2))
    assert silence(nodes) == 0.0


def test_while_nothing_can_be_read_nobody_is_silent(nodes: NodeRegistry, clock: HandClock) -> None:
    nodes.receive(report())
    nodes.account(True)
    for _ in range(100):
        clock.forward(1.0)
        nodes.account(False)
    assert silence(nodes) == 0.0
    clock.forward(1.0)
    nodes.account(True)
    assert silence(nodes) == 1.0


def test_a_suspended_controller_counts_nothing(nodes: NodeRegistry, clock: HandClock) -> None:
    nodes.receive(report())
    nodes.account(True)
    clock.forward(3600.0)
    nodes.account(True)
    assert silence(nodes) == 0.0


def test_only_the_unreadable_ones_are_spared(nodes: NodeRegistry, clock: HandClock) -> None:
    nodes.receive(report())
    nodes.receive(report("l2"))
    nodes.account(True)
    clock.forward(2.0)
    nodes.account(True, {"l1"})
    assert silence(nodes) == 0.0
    assert nodes.heard()["l2"].silent_s == 2.0


def test_silence_never_exceeds_the_time_since_the_last_word(nodes: NodeRegistry, clock: HandClock) -> None:
    nodes.account(True)
    clock.forward(3.0)
    nodes.receive(report())
    clock.forward(1.0)
    nodes.account(True)
    assert silence(nodes) == 1.0


def test_a_closed_connection_shows_at_once_and_a_word_takes_it_back(
    nodes: NodeRegistry, woken: list[str]
) -> None:
    nodes.receive(report())
    nodes.connected("l1")
    woken.clear()
    assert not nodes.heard()["l1"].closed
    nodes.disconnected("l1")
    assert nodes.heard()["l1"].closed
    assert woken
    nodes.receive(report(seq=2))
    assert not nodes.heard()["l1"].closed


def test_a_late_report_proves_nothing(nodes: NodeRegistry, clock: HandClock) -> None:
    nodes.receive(report(seq=5))
    pass_time(nodes, clock, 3)
    nodes.receive(report(seq=4, state=AgentState.IDLE))
    assert silence(nodes) == 3.0
    assert nodes.heard()["l1"].report.seq == 5
    nodes.receive(report(boot="b2", seq=1))
    nodes.receive(report(boot="b1", seq=99))
    assert nodes.heard()["l1"].report.boot == "b2"


def test_state_since(nodes: NodeRegistry, clock: HandClock) -> None:
    nodes.receive(report(state=AgentState.WAITING))
    began_s = clock.now_s
    clock.forward(2.0)
    nodes.receive(report(seq=2, state=AgentState.WAITING))
    assert nodes.heard()["l1"].state_s == began_s
    clock.forward(2.0)
    nodes.receive(report(seq=3, state=AgentState.RUNNING))
    assert nodes.heard()["l1"].state_s == began_s + 4.0


def test_progress_wakes_nobody_but_news_do(nodes: NodeRegistry, woken: list[str]) -> None:
    nodes.receive(report(step=1))
    woken.clear()
    nodes.receive(report(seq=2, step=2, step_age_s=0.1))
    assert not woken
    nodes.receive(report(seq=3, notice=Notice("terminate", 120.0)))
    assert len(woken) == 1
    nodes.receive(report(seq=4, notice=Notice("terminate", 117.0)))
    assert len(woken) == 1
    nodes.receive(report(seq=5, notice=Notice("terminate", 114.0), facts=(Fact(1, 0.0, "save.found", "x"),)))
    assert len(woken) == 2


def test_commands_are_in_every_reply_until_replaced(nodes: NodeRegistry) -> None:
    assert nodes.told("l1").commands == ()
    nodes.tell("l1", (RUN,))
    assert nodes.receive(report()).commands == (RUN,)
    assert nodes.told("l1").commands == (RUN,)
    nodes.tell("l1", ())
    assert nodes.receive(report(seq=2)).commands == ()


def test_every_reply_carries_the_lease_by_which_silent_nodes_are_judged(clock: HandClock) -> None:
    """Else an agent would go by the protocol's own, and train on long after it was given up."""
    nodes = NodeRegistry(clock, lease_s=45.0)
    assert (nodes.receive(report()).lease_s, nodes.told("l1").lease_s) == (45.0, 45.0)
    assert nodes.told("never heard of").lease_s == 45.0


def test_watchers_hear_of_changes_only(nodes: NodeRegistry) -> None:
    heard: list[tuple[Command, ...]] = []
    stop = nodes.watch("l1", lambda: heard.append(nodes.told("l1").commands))  # may look: no lock is held
    nodes.tell("l1", (RUN,))
    nodes.tell("l1", (RUN,))
    assert heard == [(RUN,)]
    stop()
    nodes.tell("l1", ())
    assert heard == [(RUN,)]


def test_facts_are_acknowledged_by_boot(nodes: NodeRegistry) -> None:
    nodes.receive(report())
    nodes.facts_recorded("l1", "b1", 3)
    nodes.facts_recorded("l1", "b1", 2)
    assert nodes.receive(report(seq=2)).facts_until == 3
    assert nodes.receive(report(boot="b2")).facts_until == 0


def test_who_is_forgotten_is_unheard(nodes: NodeRegistry) -> None:
    nodes.receive(report())
    nodes.forget("l1")
    nodes.forget("l1")
    assert nodes.heard() == {}
