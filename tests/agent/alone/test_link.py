"""The lone agent's own controller: from reports and a bucket to commands, also of a bucket in trouble."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from tests.fakes.bucket import MemoryBucket
from tests.fakes.still import StillRuntime

from outlast.alone.judge import EXIT_NEEDS_A_PERSON
from outlast.alone.link import OWNER, LoneLink, Told
from outlast.protocol.codec import dump, load
from outlast.protocol.messages import (
    HEALTH,
    AgentState,
    CheckpointPlan,
    CommandKind,
    Fact,
    Failure,
    Permission,
    Reply,
    Report,
    SaveStatus,
    Work,
    WriterRef,
)
from outlast.protocol.objects import POINTER_KEY, ManifestRef, Pointer, PointerState, status_key

WORK = Work("job", OWNER, 1, "true", checkpoint=CheckpointPlan())
HEAD = ManifestRef("manifests/000000010-g1-aa.json", "xxh3-128:1", 10)
LEASE_S = 100.0
LIMIT_S = 110.0
IDLE = Report("job", 0, 0, "here", "boot", 1, AgentState.IDLE)


@dataclass
class Bench:
    bucket: MemoryBucket = field(default_factory=MemoryBucket)
    runtime: StillRuntime = field(default_factory=StillRuntime)
    told: list[Told] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    stops: int = 0

    def link(self, *, restart: bool = False) -> LoneLink:
        return LoneLink(
            self.runtime, self.bucket, "job", WORK, lease_s=LEASE_S, restart=restart, look_every_s=5.0,
            stop=self._stop, show=self.told.append, note=lambda kind, text: self.notes.append((kind, text)),
        )  # fmt: skip

    def _stop(self) -> None:
        self.stops += 1

    def point(
        self, state: PointerState = PointerState.RUNNING, code: int | None = None, seq: int = 7
    ) -> None:
        pointer = Pointer(1, OWNER, "job", 3, "w3", (), seq, state, HEAD, (HEAD,), "", exit_code=code)
        self.bucket.put(POINTER_KEY, dump(pointer))

    def status(self, seq: int) -> None:
        told = Report("job", 3, 0, "there", "b", seq, AgentState.RUNNING, lease_s=LEASE_S)
        self.bucket.put(status_key(3, 0), dump(told))


def waiting(reply: Reply) -> Report:
    (command,) = reply.commands
    return replace(IDLE, generation=command.generation, attempt=command.attempt, state=AgentState.WAITING)


def permission(reply: Reply) -> Permission | None:
    return next((c.permission for c in reply.commands if c.kind is CommandKind.RUN), None)


def test_a_number_above_the_pointers_and_a_permission_only_for_who_waits() -> None:
    bench = Bench()
    bench.point(PointerState.RELEASED)
    bench.bucket.create("generations/4", b"{}")  # somebody took it, and never claimed
    link = bench.link()
    reply = link.report(IDLE)
    (command,) = reply.commands
    assert (command.kind, command.generation, command.work) == (CommandKind.ASSIGN, 5, WORK)
    assert reply.lease_s == LEASE_S
    preparing = replace(waiting(reply), state=AgentState.PREPARING)
    assert permission(link.report(preparing)) is None
    assert permission(link.report(waiting(reply))) == Permission()


def test_its_answers_renew_no_lease() -> None:
    assert Bench().link().witness is False


def test_silence_is_counted_between_readings_and_one_that_failed_is_none() -> None:
    bench = Bench()
    bench.point()
    bench.status(1)
    link = bench.link()
    report = waiting(link.report(IDLE))
    bench.runtime.sleep(LIMIT_S)
    bench.bucket.fail("denied", "get", status_key(3, 0))
    assert permission(link.report(report)) is None
    assert any("can't be read" in text for _, text in bench.notes)
    bench.status(2)  # it lived all the while
    assert permission(link.report(report)) is None
    bench.runtime.sleep(LIMIT_S)
    given = permission(link.report(report))
    assert given is not None
    assert given.closed == (WriterRef(3, "w3"),)
    assert sum("no sign of life" in text for _, text in bench.notes) == 1
    assert permission(link.report(report)) == given
    assert sum("no sign of life" in text for _, text in bench.notes) == 1


def test_the_bucket_is_not_asked_at_every_report() -> None:
    bench = Bench()
    bench.point()
    link = bench.link()
    report = waiting(link.report(IDLE))
    link.report(report)
    before = len(bench.bucket.log)
    for _ in range(4):
        bench.runtime.sleep(1.0)
        link.report(report)
    assert len(bench.bucket.log) == before


def test_a_bucket_that_refuses_is_asked_again() -> None:
    bench = Bench()
    link = bench.link()
    bench.bucket.fail("denied", "get")
    assert link.report(IDLE).commands == ()
    bench.bucket.fail("denied", "create", "generations/1")
    assert link.report(IDLE).commands == ()
    assert len(link.report(IDLE).commands) == 1
    assert link.done is None


def test_a_done_job_takes_no_number_and_ends_the_process_once() -> None:
    bench = Bench()
    bench.point(PointerState.ENDED, 0)
    link = bench.link()
    for _ in range(3):
        assert link.report(IDLE).commands == ()
    assert link.done is not None
    assert link.done.code == 0
    assert (bench.stops, link.assigned) == (1, False)
    assert bench.bucket.keys("generations/") == []


@pytest.mark.parametrize("body", [b"garbage", None])
def test_a_pointer_that_is_not_ours_is_for_a_person(body: bytes | None) -> None:
    bench = Bench()
    other = Pointer(1, "own-of-a-controller", "job", 3, "w", (), 1, PointerState.RELEASED, None, (), "")
    bench.bucket.put(POINTER_KEY, body or dump(other))
    link = bench.link()
    assert link.report(IDLE).commands == ()
    assert link.done is not None
    assert link.done.code == EXIT_NEEDS_A_PERSON


def test_the_last_word_is_written_and_what_left_on_request_is_assigned_again() -> None:
    bench = Bench()
    link = bench.link()
    report = waiting(link.report(IDLE))
    link.report(report)
    link.report(replace(report, state=AgentState.RUNNING))
    left = replace(report, state=AgentState.RELEASED, save=SaveStatus(durable=HEAD), why="it left")
    (again,) = link.report(left).commands
    assert again.generation == report.generation + 1
    written = load(Report, bench.bucket.get(status_key(report.generation, 0)).body)
    assert written.state is AgentState.RELEASED
    ended = replace(report, generation=again.generation, state=AgentState.ENDED, exit_code=5, why="it failed")
    bench.bucket.fail("denied", "put", status_key(again.generation, 0))
    assert link.report(ended).commands == ()
    assert link.done is not None
    assert (link.done.code, bench.stops) == (5, 1)


def test_each_fact_is_told_once_and_acknowledged() -> None:
    bench = Bench()
    link = bench.link()
    facts = (Fact(1, 0.0, "tell", "one"), Fact(2, 0.0, "tell", "two"))
    assert link.report(replace(IDLE, facts=facts)).facts_until == 2
    assert link.report(replace(IDLE, facts=facts)).facts_until == 2
    assert [text for kind, text in bench.notes if kind == "tell"] == ["one", "two"]
    assert len(bench.told) == 2


def test_an_attempt_that_ended_for_its_saves_is_repeated_once() -> None:
    bench = Bench()
    link = bench.link()
    report = waiting(link.report(IDLE))
    for begins, head in ((True, HEAD), (True, None), (False, None)):
        link.report(replace(report, state=AgentState.RUNNING))
        sick = replace(
            report, state=AgentState.FAILED, save=SaveStatus(durable=head), failure=Failure(HEALTH, "refused")
        )
        commands = link.report(sick).commands
        assert bool(commands) is begins
        if begins:
            report = replace(report, generation=commands[0].generation)
    assert link.done is not None
    assert (link.done.code, bench.stops) == (EXIT_NEEDS_A_PERSON, 1)
