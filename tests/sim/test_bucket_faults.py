"""What can become of a request to the simulated bucket, and what never can."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from outlast.ports import BucketError, Exists, Unsure
from outlast_orchestrator.simulate.bucket import BucketServer, BucketTrouble, SimBucket
from outlast_orchestrator.simulate.clock import Process, SimClock
from outlast_orchestrator.simulate.history import History
from outlast_orchestrator.simulate.network import BUCKET, Network


class Bench:
    """One client process and its bucket."""

    def __init__(self, trouble: BucketTrouble) -> None:
        self.clock = SimClock(7)
        self.server = BucketServer(self.clock, History())
        self.server.calm = trouble
        self.network = Network(self.clock)
        self.process: Process = self.clock.process("agent/i-1/1")
        self.bucket = SimBucket(self.server, self.network, "i-1", self.process.name)
        self.outcome: str | BucketError = ""

    def ask(self, call: Callable[[], object], until_s: float = 60.0) -> str | BucketError:
        def run() -> None:
            try:
                call()
            except BucketError as error:
                self.outcome = error
            else:
                self.outcome = "done"

        self.process.spawn("main", run)
        self.clock.run(self.clock.now_s + until_s)
        return self.outcome


def test_a_refused_write_is_not_applied() -> None:
    bench = Bench(BucketTrouble(refused=1.0))
    assert isinstance(bench.ask(lambda: bench.bucket.create("a", b"1")), Unsure)
    assert bench.server.peek("a") is None


def test_a_lost_request_is_not_applied() -> None:
    bench = Bench(BucketTrouble(request_lost=1.0))
    assert isinstance(bench.ask(lambda: bench.bucket.create("a", b"1")), Unsure)
    assert bench.server.peek("a") is None


def test_a_lost_reply_hides_that_the_write_is_applied() -> None:
    bench = Bench(BucketTrouble(reply_lost=1.0))
    assert isinstance(bench.ask(lambda: bench.bucket.create("a", b"1")), Unsure)
    assert bench.server.peek("a") == b"1"


def test_a_late_write_arrives_after_its_sender_gave_up_and_died() -> None:
    bench = Bench(BucketTrouble(late=1.0, late_s_max=600.0))
    assert isinstance(bench.ask(lambda: bench.bucket.create("a", b"1"), 21.0), Unsure)
    bench.process.kill("test")
    assert bench.server.peek("a") is None
    bench.clock.run(1000.0)
    assert bench.server.peek("a") == b"1"


def test_a_late_write_is_judged_when_it_arrives() -> None:
    bench = Bench(BucketTrouble(late=1.0, late_s_max=600.0))
    assert isinstance(bench.ask(lambda: bench.bucket.create("a", b"late"), 21.0), Unsure)
    bench.server.create("another", "a", b"first")
    bench.clock.run(1000.0)
    assert bench.server.peek("a") == b"first"


def test_who_is_killed_while_it_waits_may_have_left_its_mark_or_not() -> None:
    left = []
    for number in range(20):
        bench = Bench(BucketTrouble())
        bench.server.dice = bench.clock.stream(f"dice {number}")
        bench.clock.at(0.01, lambda bench=bench: bench.process.kill("test"))  # type: ignore[misc]
        bench.ask(lambda bench=bench: bench.bucket.create("a", b"1"))  # type: ignore[misc]
        assert bench.outcome == ""
        left.append(bench.server.peek("a") is not None)
    assert True in left
    assert False in left


def test_a_cut_is_for_one_place_and_for_a_time() -> None:
    bench = Bench(BucketTrouble())
    bench.network.cut("i-1", BUCKET, 100.0)
    assert isinstance(bench.ask(lambda: bench.bucket.put("a", b"1")), Unsure)
    other = SimBucket(bench.server, bench.network, "i-2", "agent/i-2/1")
    assert bench.ask(lambda: other.put("a", b"2")) == "done"
    assert bench.ask(lambda: bench.bucket.put("a", b"3")) == "done"
    assert bench.server.peek("a") == b"3"


def test_what_is_confirmed_is_there_at_once() -> None:
    bench = Bench(BucketTrouble())
    bench.bucket.create("a", b"1")
    assert bench.bucket.get("a").body == b"1"
    with pytest.raises(Exists):
        bench.bucket.create("a", b"2")
    assert [info.key for info in bench.bucket.list("")] == ["a"]
