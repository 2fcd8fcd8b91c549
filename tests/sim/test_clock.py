"""The virtual clock: order, time-outs, kills and freezes, and that one seed is one story."""

from __future__ import annotations

import pytest

from outlast_orchestrator.simulate.clock import SimClock
from outlast_orchestrator.simulate.runtime import ProcessRuntime


def runtime(clock: SimClock, name: str) -> ProcessRuntime:
    return ProcessRuntime(clock.process(name), clock.stream(name))


def test_time_jumps_to_the_next_event() -> None:
    clock = SimClock(1)
    times: list[float] = []
    process = clock.process("a")

    def run() -> None:
        for seconds in (5.0, 3600.0, 86400.0):
            clock.sleep(seconds)
            times.append(clock.now_s)

    process.spawn("main", run)
    clock.run(100_000.0)
    assert times == [5.0, 3605.0, 90005.0]
    assert clock.now_s == 100_000.0


def test_a_mailbox_passes_items_in_order_and_times_out() -> None:
    clock = SimClock(1)
    process = clock.process("a")
    run = ProcessRuntime(process, clock.stream("a"))
    box = run.mailbox()
    got: list[tuple[float, object]] = []

    def producer() -> None:
        for item in range(3):
            clock.sleep(10.0)
            box.put(item)

    def consumer() -> None:
        for _ in range(5):
            got.append((clock.now_s, box.get(6.0)))  # noqa: PERF401  # the time is of before the wait

    process.spawn("producer", producer)
    process.spawn("consumer", consumer)
    clock.run(100.0)
    assert got == [(0.0, None), (6.0, 0), (10.0, None), (16.0, 1), (20.0, None)]


def test_a_killed_process_does_nothing_more() -> None:
    clock = SimClock(1)
    process = clock.process("a")
    done: list[str] = []
    told: list[str] = []
    process.on_death.append(lambda: told.append(process.death))

    def run() -> None:
        try:
            clock.sleep(100.0)
            done.append("slept")
        finally:
            clock.sleep(1.0)  # the world can't be touched by the dead
            done.append("cleaned up")

    process.spawn("main", run)
    clock.at(50.0, lambda: process.kill("test"))
    clock.run(1000.0)
    assert done == []
    assert told == ["test"]


def test_a_kill_can_hit_every_touch_of_the_world() -> None:
    for crossings in range(1, 5):
        clock = SimClock(1)
        process = clock.process("a")
        done: list[int] = []

        def run(clock: SimClock = clock, done: list[int] = done) -> None:
            for number in range(10):
                clock.step()
                done.append(number)

        process.trip(crossings, lambda process=process: process.kill("test"))  # type: ignore[misc]
        process.spawn("main", run)
        clock.run(1.0)
        assert done == list(range(crossings - 1))


def test_a_frozen_process_goes_on_where_it_stood() -> None:
    clock = SimClock(1)
    process = clock.process("a")
    times: list[float] = []

    def run() -> None:
        while True:
            clock.sleep(10.0)
            times.append(clock.now_s)

    process.spawn("main", run)
    clock.at(25.0, process.freeze)
    clock.at(3000.0, process.thaw)
    clock.run(3025.0)
    assert times == [10.0, 20.0, 3000.0, 3010.0, 3020.0]


def test_a_freeze_in_the_middle_of_a_step() -> None:
    clock = SimClock(1)
    process = clock.process("a")
    times: list[float] = []

    def run() -> None:
        clock.step()
        times.append(clock.now_s)

    process.trip(1, process.freeze)
    process.spawn("main", run)
    clock.at(70.0, process.thaw)
    clock.run(100.0)
    assert times == [70.0]


def test_an_exception_is_the_death_of_its_process_only() -> None:
    clock = SimClock(1)
    bad, good = clock.process("bad"), clock.process("good")
    times: list[float] = []

    def fail() -> None:
        clock.sleep(1.0)
        raise ValueError("broken")

    def go_on_later() -> None:
        clock.sleep(5.0)
        times.append(clock.now_s)

    def go_on() -> None:
        clock.sleep(2.0)
        times.append(clock.now_s)

    bad.spawn("main", fail)
    bad.spawn("other", go_on_later)
    good.spawn("main", go_on)
    clock.run(10.0)
    assert times == [2.0]
    assert not bad.alive
    assert isinstance(bad.crash, ValueError)
    assert good.alive


def test_wall_clocks_are_wrong_by_what_the_world_says() -> None:
    clock = SimClock(1)
    right = ProcessRuntime(clock.process("a"), clock.stream("a"))
    wrong = ProcessRuntime(clock.process("b", skew_s=-3600.0), clock.stream("b"))
    assert wrong.wall_s() == right.wall_s() - 3600.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_seed_is_one_story(seed: int) -> None:
    def story() -> list[tuple[str, float]]:
        clock = SimClock(seed)
        told: list[tuple[str, float]] = []
        for name in ("a", "b", "c"):
            run = runtime(clock, name)

            def task(name: str = name, run: ProcessRuntime = run) -> None:
                for _ in range(20):
                    run.sleep(float(int(run.uniform() * 3)))
                    told.append((name, clock.now_s))

            run.spawn("main", task)
        clock.run(1000.0)
        return told

    assert story() == story()


def test_the_order_of_equal_times_depends_on_the_seed() -> None:
    def story(seed: int) -> list[int]:
        clock = SimClock(seed)
        order: list[int] = []
        for number in range(8):
            clock.at(1.0, lambda number=number: order.append(number))  # type: ignore[misc]
        clock.run(2.0)
        return order

    assert len({tuple(story(seed)) for seed in range(5)}) > 1


def test_a_task_can_spawn_another_process() -> None:
    clock = SimClock(1)
    parent = clock.process("parent")
    times: list[tuple[str, float]] = []

    def child() -> None:
        clock.sleep(5.0)
        times.append(("child", clock.now_s))

    def run() -> None:
        clock.process("child").spawn("main", child)
        clock.sleep(3.0)
        times.append(("parent", clock.now_s))

    parent.spawn("main", run)
    clock.run(10.0)
    assert times == [("parent", 3.0), ("child", 5.0)]


def test_an_ambush_waits_for_a_certain_deed() -> None:
    """Before it and after it are two touches; `passing` says how many are let pass."""
    for passing, expected in ((0, ["get"]), (1, ["get", "delete"]), (2, ["get", "delete", "get"])):
        clock = SimClock(1)
        process = clock.process("a")
        done: list[str] = []

        def run(clock: SimClock = clock, done: list[str] = done) -> None:
            for deed in ("get", "delete", "get", "delete"):
                clock.step(deed)
                done.append(deed)
                clock.step(deed)

        process.ambush("delete", passing, process.freeze)
        process.spawn("main", run)
        clock.run(10.0)
        assert done == expected
        process.thaw()
        clock.run(20.0)
        assert done == ["get", "delete", "get", "delete"]
