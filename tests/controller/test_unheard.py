"""Who counts as silent: only time in which this controller could have heard, over the API or the bucket."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.controller.stage import Stage, machine, report, with_a_machine

from outlast.protocol.objects import status_key
from outlast_orchestrator.core.actions import Decision
from outlast_orchestrator.core.view import JobView

KEY = status_key(1, 0)


@pytest.fixture
def stage() -> Stage:
    return with_a_machine()


def test_a_node_that_was_never_heard_counts_only_what_could_be_heard(stage: Stage) -> None:
    stage.settle()
    stage.tick(20)
    assert machine(stage).heard is None
    assert 18.0 <= machine(stage).unheard_s <= 22.0
    before = machine(stage).unheard_s
    stage.buckets.down = True
    stage.tick(60)
    assert machine(stage).unheard_s <= before + 4.0
    stage.buckets.down = False
    stage.tick(30)
    assert machine(stage).unheard_s >= before + 15.0


def test_a_suspended_controller_makes_nobody_silent(stage: Stage) -> None:
    stage.settle()
    stage.nodes.receive(report())
    stage.tick(2)
    stage.clock.forward(7200.0)
    stage.tick(2)
    heard = machine(stage).heard
    assert heard is not None
    assert heard.silent_s < 12.0
    assert machine(stage).absent_s == ()


def test_a_suspended_controller_could_not_have_heard_a_node_that_was_never_heard(stage: Stage) -> None:
    stage.settle()
    stage.tick(2)
    before_s, listened_s = machine(stage).unheard_s, stage.view().listening_s
    stage.clock.forward(7200.0)
    stage.tick(2)
    assert machine(stage).unheard_s <= before_s + 2.0
    assert stage.view().listening_s <= listened_s + 2.0


def make_ticks_long(stage: Stage, meanwhile: Callable[[], None] = lambda: None, jobs: int = 300) -> None:
    """So many more jobs, each of which takes 0.05 s to decide about."""

    def decide(_view: JobView) -> Decision:
        stage.clock.forward(0.05)
        meanwhile()
        return Decision((), "")

    for number in range(2, jobs + 2):
        stage.submit(job_id=f"j{number}")
        stage.decisions[f"j{number}"] = decide
    stage.settle()


def test_a_tick_that_takes_long_does_not_look_like_a_suspended_controller(stage: Stage) -> None:
    make_ticks_long(stage)
    stage.nodes.receive(report())
    stage.tick(2)
    heard = machine(stage).heard
    assert heard is not None
    assert heard.silent_s > 12.0
    assert stage.clock.monotonic_s() - heard.life_s < 50.0


def test_in_long_ticks_a_look_into_the_bucket_since_the_last_one_still_proves_silence(stage: Stage) -> None:
    """Nothing newer than a tick can have come: waiting for it, a dead node would never be given up."""
    make_ticks_long(stage)
    stage.nodes.receive(report())
    stage.tick(8)
    heard = machine(stage).heard
    assert heard is not None
    silent_s = stage.clock.monotonic_s() - heard.life_s
    assert silent_s > 100.0
    assert heard.silent_s > silent_s / 2


@pytest.mark.parametrize(("jobs", "limit_s"), [(300, 20.0), (1200, 35.0)])
def test_in_long_ticks_the_bucket_still_speaks_for_a_node_that_the_api_does_not_hear(
    stage: Stage, jobs: int, limit_s: float
) -> None:
    """However long a tick is: what was read before it proves silence for half a minute at most."""

    def write() -> None:
        stage.write_status(KEY, report(seq=int(stage.clock.monotonic_s() * 100)))

    make_ticks_long(stage, write, jobs)
    stage.nodes.receive(report())
    worst_s = 0.0
    for _ in range(4):
        stage.tick(1)
        heard = machine(stage).heard
        assert heard is not None
        worst_s = max(worst_s, heard.silent_s)
    assert worst_s < limit_s


def test_silence_stops_growing_while_the_bucket_can_not_be_read(stage: Stage) -> None:
    stage.settle()
    stage.nodes.receive(report())
    stage.buckets.down = True
    stage.tick(100)
    heard = machine(stage).heard
    assert heard is not None
    assert heard.silent_s < 12.0
    stage.buckets.down = False
    stage.tick(30)
    heard = machine(stage).heard
    assert heard is not None
    assert heard.silent_s > 12.0


def test_a_decision_knows_how_old_the_look_is_that_showed_no_life(stage: Stage) -> None:
    stage.settle()
    stage.nodes.receive(report())
    stage.tick(30)
    assert 0.0 <= machine(stage).unread_s <= 5.0
    stage.buckets.down = True
    stage.tick(30)
    assert 25.0 <= machine(stage).unread_s <= 35.0


def test_a_status_object_that_changes_is_a_sign_of_life(stage: Stage) -> None:
    """The network to the API is cut; the node writes to the bucket every ten seconds."""
    stage.settle()
    stage.nodes.receive(report(seq=1))
    worst_s = 0.0
    for number in range(12):
        stage.write_status(KEY, report(seq=2 + number))
        stage.tick(10)
        heard = machine(stage).heard
        assert heard is not None
        worst_s = max(worst_s, heard.silent_s)
    assert worst_s < 20.0
    heard = machine(stage).heard
    assert heard is not None
    assert heard.report.seq >= 12


def test_a_status_object_that_does_not_change_is_none(stage: Stage) -> None:
    stage.settle()
    stage.nodes.receive(report(seq=9))
    stage.write_status(KEY, report(seq=9))
    stage.tick(40)
    heard = machine(stage).heard
    assert heard is not None
    assert heard.silent_s > 35.0


def test_after_a_restart_only_a_second_body_shows_life(stage: Stage) -> None:
    stage.write_status(KEY, report(seq=50))
    stage.settle()
    stage.tick(10)
    assert machine(stage).heard is None
    stage.write_status(KEY, report(seq=51))
    stage.tick(6)
    assert machine(stage).heard is not None


def test_foreign_and_torn_status_objects_are_no_sign_of_life(stage: Stage) -> None:
    stage.settle()
    stage.nodes.receive(report(seq=1))
    for number in range(8):
        torn = [b"{", b"\xff", b"[]", b'{"seq": 1}']
        stage.buckets.bodies[KEY] = torn[number % 4] + b" " * number
        stage.tick(5)
    stage.write_status(KEY, report("another", seq=99))
    stage.tick(5)
    heard = machine(stage).heard
    assert heard is not None
    assert heard.silent_s > 40.0


def test_a_report_for_another_job_is_not_this_nodes(stage: Stage) -> None:
    stage.nodes.receive(report(job="j2"))
    stage.settle()
    assert machine(stage).heard is None
