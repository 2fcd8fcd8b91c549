"""What only a database of several hosts does to a store: races, frozen holders of locks, lost connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel
from tests.contracts.rows import instance, job
from tests.fakes.hand_clock import HandClock
from tests.servers.postgres import Postgres

from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.core.errors import Deposed, StoreError
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.ports import Term
from outlast_orchestrator.store.db import SqlStore, open_store
from outlast_orchestrator.store.engine import migrating_connection, open_engine, writing
from outlast_orchestrator.store.leadership import check_term

SAID = Event(Kind.TELL, "x")
AT_ONCE = 6
IMPATIENT = "&options=-c%20idle_in_transaction_session_timeout%3D500%20-c%20lock_timeout%3D300"
QUICK = "&options=-c%20lock_timeout%3D300"  # impatient for locks alone
LIMIT_S = 20.0

T = TypeVar("T")


def _at_once(use: Callable[[int], T]) -> list[T]:
    """The same in several threads, begun together."""
    gate = threading.Barrier(AT_ONCE)

    def one(number: int) -> T:
        gate.wait(LIMIT_S)
        return use(number)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(AT_ONCE)))


def test_migrations_make_what_the_models_say(database: str) -> None:
    with closing(open_store(database, HandClock())) as store, store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_controllers_that_start_together_on_an_empty_database(database: str) -> None:
    stores = _at_once(lambda _number: open_store(database, SystemClock()))
    assert len({store.owner() for store in stores}) == 1
    terms = _at_once(lambda number: stores[number].lead(f"holder-{number}", 10.0))
    leaders = [term for term in terms if term is not None]
    assert [term.number for term in leaders] == [1]
    for store in stores:
        store.close()


def test_a_slow_disk_between_two_tables_ends_no_migration(database: str) -> None:
    engine = open_engine(database + IMPATIENT)
    with migrating_connection(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE one (id int)")
        time.sleep(1.0)  # twice what any other transaction is given
        connection.exec_driver_sql("CREATE TABLE two (id int)")
    engine.dispose()


def test_a_url_without_a_driver_gets_ours(database: str) -> None:
    with closing(open_store(database.replace("+psycopg", ""), HandClock())) as store:
        assert store.engine.url.drivername == "postgresql+psycopg"


def test_a_server_that_is_not_there_is_said_in_a_line_without_the_password() -> None:
    with pytest.raises(StoreError) as error:
        open_store("postgresql://me:s3cret@127.0.0.1:9/outlast", HandClock())
    assert "\n" not in str(error.value)
    assert "s3cret" not in str(error.value)
    assert "127.0.0.1" in str(error.value)


def test_connections_that_the_server_dropped_are_made_anew(database: str, postgres_server: Postgres) -> None:
    with closing(open_store(database, HandClock())) as store:
        term = store.lead("me", 10.0)
        assert term is not None
        store.submit(job(), SAID)
        with postgres_server.connect() as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (store.engine.url.database,),
            )
        assert [one.id for one in store.jobs()] == ["j1"]
        store.commit(term, [instance()], [SAID])


def _await_lead(store: SqlStore, holder: str) -> Term:
    """As the loop does: after trouble with the store, and while another leads, it asks again."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            term = store.lead(holder, 0.5)
        except StoreError:
            term = None
        if term is not None:
            return term
        time.sleep(0.1)
    raise AssertionError(f"{holder} did not come to lead within {LIMIT_S:.0f} s")


def _write_slowly(store: SqlStore, term: Term, meanwhile: Callable[[], None]) -> None:
    with writing(store.engine) as session:
        check_term(session, term)
        meanwhile()
        session.connection().exec_driver_sql("UPDATE jobs SET name = 'stolen'")


def test_every_connection_has_limits(database: str) -> None:
    with closing(open_store(database, HandClock())) as store, store.engine.connect() as connection:
        shown = {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar()
            for name in ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout")
        }
    assert shown == {
        "idle_in_transaction_session_timeout": "5s",
        "lock_timeout": "10s",
        "statement_timeout": "30s",
    }


def test_a_leader_that_stands_still_inside_a_transaction_gives_its_locks_up(database: str) -> None:
    """Suspended after the look at its term and before the commit: it holds the leadership's row."""
    url = database + IMPATIENT
    with closing(open_store(url, SystemClock())) as leader, closing(open_store(url, SystemClock())) as other:
        term = leader.lead("leader", 0.5)
        assert term is not None
        leader.submit(job(), SAID)
        leading: list[Term] = []
        with pytest.raises(StoreError, match="took a transaction back"):
            _write_slowly(leader, term, lambda: leading.append(_await_lead(other, "other")))
        assert [new.number for new in leading] == [term.number + 1]
        assert [one.name for one in other.jobs()] == ["hello"]
        with pytest.raises(Deposed):
            leader.commit(term, [instance()], [SAID])


def test_looking_whether_one_leads_waits_for_nobody(database: str) -> None:
    with closing(open_store(database, HandClock())) as store:
        term = store.lead("me", 10.0)
        assert term is not None
        with writing(store.engine) as session:
            check_term(session, term)
            assert store.leads(term)


def test_events_of_several_writers_are_never_passed_by(database: str) -> None:
    """A reader that goes on from the highest number it saw must miss none that is committed later."""
    with closing(open_store(database, SystemClock())) as store:
        store.submit(job(), SAID)
        seen: list[int] = []
        done = threading.Event()

        def read() -> None:
            while True:
                last = done.is_set()
                found = store.events(None, seen[-1] if seen else 0, 1000)
                seen.extend(event.seq for event in found)
                if last and not found:
                    return

        def submit(number: int) -> None:
            for i in range(10):
                store.submit(job(f"a{number}-{i}", f"a{number}-{i}"), SAID)

        reader = threading.Thread(target=read)
        reader.start()
        _at_once(submit)
        done.set()
        reader.join(LIMIT_S)
        assert len(seen) == 1 + AT_ONCE * 10
        assert seen == sorted(seen)


def test_a_leader_that_stands_still_inside_a_batch_gives_its_locks_up(
    database: str, postgres_server: Postgres
) -> None:
    """Suspended between a statement and the batch's Sync: its session counts as active, not as idle."""
    with closing(open_store(database + IMPATIENT, SystemClock())) as other:
        term = other.lead("leader", 0.5)
        assert term is not None
        other.submit(job(), SAID)
        name = str(other.engine.url.database)
        lost = pytest.raises(psycopg.OperationalError)
        with lost, postgres_server.connect(name) as sleeper, sleeper.pipeline():
            sleeper.execute("BEGIN")
            sleeper.execute("UPDATE leadership SET beat = beat + 1")
            sleeper.execute("UPDATE jobs SET name = 'stolen' RETURNING name").fetchone()
            assert _await_lead(other, "other").number == term.number + 1
            sleeper.execute("COMMIT")
        assert [one.name for one in other.jobs()] == ["hello"]


def test_a_session_that_only_waits_its_turn_is_left_alone(database: str, postgres_server: Postgres) -> None:
    """A transaction that moves is not ended, however long somebody waits for its lock."""
    with closing(open_store(database + QUICK, SystemClock())) as other:
        assert other.lead("leader", 0.5) is not None
        with postgres_server.connect(str(other.engine.url.database)) as busy:
            busy.execute("BEGIN")
            busy.execute("UPDATE leadership SET beat = beat + 1")
            for _ in range(4):
                busy.execute("SELECT pg_sleep(0.1)")
                with pytest.raises(StoreError, match="locked by another process"):
                    other.lead("leader", 0.5)
            busy.execute("COMMIT")
        assert other.lead("leader", 0.5) is not None
