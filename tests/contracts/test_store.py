"""What every store promises to the controller and the API, on each implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.rows import attempt, instance, job, progress
from tests.fakes.hand_clock import HandClock
from tests.servers.postgres import Postgres

from outlast_orchestrator.core.errors import Deposed, StoreError, UserError
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.ports import Row, Store, Term
from outlast_orchestrator.core.types import (
    AttemptPhase,
    Block,
    BlockedBy,
    FactMark,
    InstancePhase,
    JobState,
    Wanted,
)
from outlast_orchestrator.simulate.store import MemoryStore
from outlast_orchestrator.store.db import SqlStore, open_store

SAID = Event(Kind.JOB_SUBMITTED, "submitted by a test", "j1")

Open = Callable[[HandClock, pytest.FixtureRequest], Store]


def _sqlite_file(clock: HandClock, request: pytest.FixtureRequest) -> Store:
    folder: Path = request.getfixturevalue("tmp_path")
    return open_store(f"sqlite:///{folder / 'outlast.db'}", clock)


def _sqlite_memory(clock: HandClock, _request: pytest.FixtureRequest) -> Store:
    return open_store("sqlite://", clock)


def _postgres(clock: HandClock, request: pytest.FixtureRequest) -> Store:
    server: Postgres = request.getfixturevalue("postgres_server")
    return open_store(server.fresh(), clock)


def _simulated(clock: HandClock, _request: pytest.FixtureRequest) -> Store:
    return MemoryStore(clock, "0123456789abcdef")


OPENERS: dict[str, Open] = {
    "file": _sqlite_file,
    "memory": _sqlite_memory,
    "postgres": _postgres,
    "simulated": _simulated,
}


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=OPENERS)
def store(request: pytest.FixtureRequest, clock: HandClock) -> Iterator[Store]:
    opened = OPENERS[request.param](clock, request)
    yield opened
    if isinstance(opened, SqlStore):
        opened.close()


@pytest.fixture
def term(store: Store) -> Term:
    found = store.lead("me", 10.0)
    assert found is not None
    return found


def test_owner_is_born_once(store: Store) -> None:
    assert store.owner()
    assert store.owner() == store.owner()


def test_rows_come_back_as_they_were(store: Store, term: Term) -> None:
    mine = job()
    store.submit(mine, SAID)
    block = Block("here/r1", BlockedBy.QUOTA, None, "vCPU limit", 5.0, 2)
    rows: list[Row] = [progress(), attempt(), instance(token_hash="ab"), block]
    store.commit(term, rows, [])
    assert store.jobs() == [mine]
    assert store.progress() == [rows[0]]
    assert store.attempts() == [rows[1]]
    assert store.instances() == [rows[2]]
    assert store.blocks() == [block]


def test_saving_again_replaces(store: Store, term: Term) -> None:
    store.submit(job(), SAID)
    store.commit(term, [instance(), progress()], [])
    ready = instance(phase=InstancePhase.READY, id="i-1")
    store.commit(term, [ready, progress(failures=2)], [])
    assert store.instances() == [ready]
    assert store.progress()[0].failures == 2


def test_a_commit_is_all_or_nothing(store: Store, term: Term) -> None:
    store.submit(job(), SAID)
    stranger = Term(term.number, "somebody else")
    with pytest.raises(Deposed):
        store.commit(stranger, [instance()], [SAID])
    assert store.instances() == []
    assert len(store.events(None, 0, 10)) == 1


def test_without_a_leader_nothing_is_written(store: Store) -> None:
    with pytest.raises((Deposed, StoreError)):
        store.commit(Term(1, "me"), [], [SAID])


def test_blocks_go_when_unblocked(store: Store, term: Term) -> None:
    store.commit(term, [Block("a", BlockedBy.CAPACITY, 9.0, "full")], [])
    store.commit(term, [], [], unblock=["a", "never there"])
    assert store.blocks() == []


def test_open_attempts_come_with_the_newest_closed_one_of_each_job(store: Store, term: Term) -> None:
    store.submit(job(), SAID)
    store.submit(job("j2", "other"), SAID)
    closed = [attempt(g, phase=AttemptPhase.CLOSED) for g in (1, 2, 3)]
    other = [attempt(1, "j2", phase=AttemptPhase.CLOSED)]
    store.commit(term, [*closed, attempt(4), *other], [])
    found = [(a.job, a.generation) for a in store.open_attempts()]
    assert found == [("j1", 3), ("j1", 4), ("j2", 1)]
    assert len(store.attempts("j1")) == 4


def test_instances_that_are_gone_are_left_out_when_asked(store: Store, term: Term) -> None:
    store.submit(job(), SAID)
    store.commit(term, [instance("l1", phase=InstancePhase.GONE), instance("l2", intended_at=2000.0)], [])
    assert [i.launch_id for i in store.instances(gone=False)] == ["l2"]
    assert [i.launch_id for i in store.instances("j1")] == ["l1", "l2"]
    assert store.instances("j2") == []


def test_what_a_tick_reads_is_what_each_method_says(store: Store, term: Term) -> None:
    for name in ("j1", "j2"):
        store.submit(job(name, f"name-{name}"), SAID)
    closed = [attempt(g, phase=AttemptPhase.CLOSED) for g in (1, 2)]
    machines = [instance("l1", phase=InstancePhase.GONE), instance("l2", intended_at=2000.0)]
    blocks = [Block(scope, BlockedBy.CAPACITY, 9.0, "full") for scope in ("a", "b")]
    store.commit(term, [progress(), *closed, attempt(3), *machines, *blocks], [])
    rows = store.rows()
    assert list(rows.jobs) == store.jobs() != []
    assert list(rows.progress) == store.progress() != []
    assert list(rows.attempts) == store.open_attempts() == [closed[1], attempt(3)]
    assert list(rows.instances) == store.instances(gone=False) == machines[1:]
    assert list(rows.blocks) == store.blocks() == blocks
    assert rows.damaged == store.damaged() == {}


def test_what_a_tick_reads_has_every_commit(store: Store, term: Term) -> None:
    """Each kind of write by itself, with a look before and after it."""
    block = Block("a", BlockedBy.CAPACITY, 9.0, "full")
    assert not store.rows().jobs
    store.submit(job(), SAID)
    assert list(store.rows().jobs) == [job()]
    for row in (progress(), attempt(), instance()):
        store.commit(term, [row], [])
        found = store.rows()
        assert row in (*found.progress, *found.attempts, *found.instances)
    store.commit(term, [instance(phase=InstancePhase.GONE)], [])
    assert not store.rows().instances
    store.commit(term, [block], [])
    assert list(store.rows().blocks) == [block]
    store.commit(term, [], [], unblock=["a"])
    assert not store.rows().blocks
    paused = job(wanted=Wanted.PAUSED, wanted_number=1)
    store.wish(paused, SAID)
    assert list(store.rows().jobs) == [paused]
    assert store.lead("me", 10.0) == term
    assert list(store.rows().jobs) == [paused]


def test_a_name_is_free_again_when_its_job_is_over(store: Store, term: Term) -> None:
    store.submit(job(), SAID)
    with pytest.raises(UserError, match="hello"):
        store.submit(job("j2"), SAID)
    store.commit(term, [progress(state=JobState.FAILED)], [])
    store.submit(job("j2", created_at=2000.0), SAID)
    by_name = store.job("hello")
    assert by_name is not None
    assert by_name.id == "j2"
    by_id = store.job("j1")
    assert by_id is not None
    assert by_id.id == "j1"
    assert store.job("nobody") is None


def test_of_two_wishes_at_once_one_is_stale(store: Store) -> None:
    first = job()
    store.submit(first, SAID)
    store.wish(replace(first, wanted=Wanted.PAUSED, wanted_number=1), SAID)
    with pytest.raises(StoreError):
        store.wish(replace(first, wanted=Wanted.CANCELLED, wanted_number=1), SAID)
    assert store.jobs()[0].wanted is Wanted.PAUSED


def test_events_are_numbered_and_dated_by_the_store(store: Store, term: Term, clock: HandClock) -> None:
    clock.wall = 5000.0
    store.submit(job(), SAID)
    store.commit(term, [], [Event(Kind.SAVE_FOUND, "a save", "j1", 1, 0, {"step": "7"}, age_s=30.0)])
    store.commit(term, [], [Event(Kind.CONTROLLER_LEADS, "term 1 begins")])
    events = store.events(None, 0, 10)
    assert [e.kind for e in events] == [Kind.JOB_SUBMITTED, Kind.SAVE_FOUND, Kind.CONTROLLER_LEADS]
    assert [e.seq for e in events] == sorted({e.seq for e in events})
    assert events[1].at == 4970.0
    assert events[1].data == {"step": "7"}
    assert [e.kind for e in store.events("j1", events[0].seq, 10)] == [Kind.SAVE_FOUND]
    assert [e.kind for e in store.last_events("j1", 1)] == [Kind.SAVE_FOUND]
    assert len(store.events(None, 0, 2)) == 2


def test_old_events_are_forgotten_only_of_jobs_that_are_over(
    store: Store, term: Term, clock: HandClock
) -> None:
    store.submit(job(), SAID)
    store.submit(job("j2", "other"), replace(SAID, job="j2"))
    store.commit(term, [progress(state=JobState.SUCCEEDED), progress("j2")], [Event(Kind.TELL, "x")])
    assert store.forget_events(term, clock.wall - 1) == 0
    assert store.forget_events(term, clock.wall + 1) == 2
    assert [e.job for e in store.events(None, 0, 10)] == ["j2"]
    with pytest.raises(Deposed):
        store.forget_events(Term(term.number, "another"), clock.wall)


def test_fact_marks_live_as_long_as_their_machine(store: Store, term: Term) -> None:
    store.submit(job(), SAID)
    store.commit(term, [FactMark("l1", "b1", 3), instance()], [])
    store.commit(term, [FactMark("l1", "b1", 5), FactMark("l1", "b2", 1)], [])
    assert store.fact_marks() == {("l1", "b1"): 5, ("l1", "b2"): 1}
    store.commit(term, [instance(phase=InstancePhase.GONE)], [])
    assert store.fact_marks() == {}


def test_tokens_of_people_and_of_nodes(store: Store, term: Term) -> None:
    store.submit(job(), SAID)
    store.add_token("alice", "hash-a", "admin", 99.0)
    store.commit(term, [instance(token_hash="hash-n"), instance("l2")], [])
    assert store.token("hash-a") == ("alice", "admin", 99.0)
    assert store.token("hash-n") == ("l1", "node", 1000.0 + 3600.0)
    assert store.token("unknown") is None
    assert store.token("") is None
    store.commit(term, [instance(token_hash="hash-n", phase=InstancePhase.GONE)], [])
    assert store.token("hash-n") is None


def test_the_leader_renews_and_others_wait(store: Store, term: Term) -> None:
    assert store.lead("me", 10.0) == term
    assert store.leads(term)
    assert store.lead("other", 10.0) is None
    assert not store.leads(Term(term.number, "other"))


def test_after_resigning_the_next_one_leads_at_once(store: Store, term: Term) -> None:
    store.resign(term)
    assert not store.leads(term)
    follower = store.lead("other", 10.0)
    assert follower is not None
    assert follower.number > term.number
    with pytest.raises(Deposed):
        store.commit(term, [], [SAID])
    store.resign(term)
    assert store.leads(follower)
