"""What keeps many jobs cheap: they are saved together, and looks that found nothing new wake nobody."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import event
from tests.contracts.rows import attempt, instance, progress
from tests.controller.stage import Stage, ready
from tests.core.build import pointer
from tests.fakes.hand_clock import HandClock

from outlast_orchestrator.controller.calls import ThreadCalls
from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.controller.loop import TOGETHER_MAX
from outlast_orchestrator.core.actions import Decision, Launch, ReadPointer, Save
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.view import Call, CallDone, CallKind, JobView
from outlast_orchestrator.store.db import open_store


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_job_that_cannot_be_saved_keeps_nobody_from_being_saved_with_it(stage: Stage) -> None:
    """Its row refers to a job that is not there, so the store refuses all that are saved together."""
    for job_id in ("j1", "j2", "j3"):
        stage.submit(job_id=job_id)
    stranger = instance("l2", "nobody")
    records = {"j1": instance("l1", "j1"), "j2": stranger, "j3": instance("l3", "j3")}
    for job_id, record in records.items():
        actions = (Save(record), Launch(record))
        stage.decisions[job_id] = lambda view, actions=actions: Decision(actions, "launch")  # type: ignore[misc]
    stage.tick(5)
    assert {one.launch_id for one in stage.store.instances()} == {"l1", "l3"}
    assert set(stage.cloud.launched) == {"l1-1", "l3-1"}
    told = [one for one in stage.store.events("j2", 0, 100) if one.kind is Kind.TELL]
    assert len(told) == 1, "told once, not with every tick"
    assert Kind.TELL not in stage.kinds("j1")


def test_jobs_that_change_together_are_saved_together(tmp_path: Path) -> None:
    stage = Stage(f"sqlite:///{tmp_path / 'outlast.db'}")
    for number in range(10):
        stage.submit(job_id=f"j{number}")
    stage.settle()
    writes: list[int] = []
    event.listen(stage.store.engine, "commit", lambda _connection: writes.append(1))
    for number in range(10):
        row = progress(f"j{number}", failures=1)
        stage.decisions[f"j{number}"] = lambda view, row=row: Decision((Save(row),), "x")  # type: ignore[misc]
    stage.controller.tick()
    assert [one.failures for one in stage.store.progress()] == [1] * 10
    assert len(writes) < 10


def test_a_routine_look_that_found_nothing_new_wakes_nobody() -> None:
    """With 1,000 jobs there are 200 of them in a second, and each tick looks at all jobs."""
    woken, ended = threading.Event(), threading.Event()
    calls = ThreadCalls(SystemClock(), woken.set, threads=1)
    quiet = Call(CallKind.POINTER, "j1")

    def after() -> CallDone:
        ended.set()
        return CallDone(Call(CallKind.POINTER, "j2"), news=False)

    assert calls.start(quiet, lambda: CallDone(quiet, news=False))
    assert calls.start(Call(CallKind.POINTER, "j2"), after)  # the one thread has ended the first by then
    assert ended.wait(30)
    assert not woken.is_set()
    assert calls.collect()[0].call == quiet
    calls.close()


def test_a_routine_reading_of_a_pointer_is_news_only_when_it_says_something_else(stage: Stage) -> None:
    def readings(times: int) -> list[bool]:
        found: list[bool] = []
        for _ in range(times):
            stage.controller.tick()
            stage.calls.work()
            found += [done.news for done in stage.calls.ended if done.call.kind is CallKind.POINTER]
            stage.clock.forward(6.0)
        return found

    stage.submit(attempt(), ready())
    assert readings(4) == [True, False, False, False]
    stage.buckets.pointer = pointer(1)
    assert readings(2) == [True, False]
    stage.buckets.down = True
    assert readings(2) == [True, False]
    stage.decisions["j1"] = lambda view: Decision((ReadPointer("j1"),), "asks")
    stage.clock.forward(-5.0)  # not yet time for a routine one
    assert readings(1) == [True]


def test_no_launch_waits_behind_routine_looks() -> None:
    go, launched = threading.Event(), threading.Event()
    calls = ThreadCalls(SystemClock(), lambda: None, threads=1)

    def look(call: Call) -> CallDone:
        assert go.wait(30)
        return CallDone(call)

    def launch() -> CallDone:
        launched.set()
        return CallDone(Call(CallKind.LAUNCH, "l1-1"))

    for number in range(5):
        call = Call(CallKind.POINTER, f"j{number}")
        assert calls.start(call, lambda call=call: look(call))  # type: ignore[misc]
    assert calls.start(Call(CallKind.LAUNCH, "l1-1"), launch)
    assert launched.wait(30)
    go.set()
    calls.close()


def test_calls_that_break_cost_no_thread() -> None:
    """More of them than there are threads, and then one that does not break; each outcome comes once."""
    ended = threading.Event()
    calls = ThreadCalls(SystemClock(), lambda: None, threads=2)
    broken = [Call(CallKind.POINTER, f"j{number}") for number in range(5)]

    def breaks() -> CallDone:
        raise RuntimeError("unforeseen")

    def works() -> CallDone:
        ended.set()
        return CallDone(Call(CallKind.POINTER, "last"))

    for call in broken:
        assert calls.start(call, breaks)
    assert calls.start(Call(CallKind.POINTER, "last"), works)
    assert ended.wait(30)
    done: list[CallDone] = []
    for _ in range(3000):
        done += calls.collect()
        if len(done) == 6:
            break
        time.sleep(0.01)
    assert {one.call for one in done if one.problem == "RuntimeError: unforeseen"} == set(broken)
    assert len(done) == 6
    assert calls.in_flight() == frozenset()
    calls.close()


def test_a_reading_that_waited_for_a_thread_is_as_young_as_when_it_began(stage: Stage) -> None:
    stage.submit(attempt(), ready())
    stage.controller.tick()
    stage.clock.forward(7.0)  # so long it waited; what it read is of now
    stage.calls.work()
    stage.controller.tick()
    assert stage.view().pointer.begun_s == stage.clock.monotonic_s()


def test_a_long_tick_keeps_the_leadership(tmp_path: Path) -> None:
    """Each decision takes a second here: longer together than a leader may be quiet."""
    url = f"sqlite:///{tmp_path / 'outlast.db'}"
    stage = Stage(url)
    for number in range(3 * TOGETHER_MAX):
        stage.submit(job_id=f"j{number}")
    stage.settle()
    other = open_store(url, HandClock())
    term = stage.store.lead(stage.parts.holder, stage.parts.leader_ttl_s)
    beats: list[int] = []

    def slow(view: JobView) -> Decision:
        stage.clock.forward(1.0)
        with other.engine.connect() as connection:
            beats.append(connection.exec_driver_sql("SELECT beat FROM leadership").scalar_one())
        return Decision((), "slow")

    for number in range(3 * TOGETHER_MAX):
        stage.decisions[f"j{number}"] = slow
    stage.controller.tick()
    assert len(set(beats)) == 3, "renewed before each part"
    assert term is not None
    assert stage.store.leads(term)
    other.close()
