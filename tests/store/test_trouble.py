"""A store that can't be used says so in one line; one that was killed in the middle has lost nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contracts.rows import instance, job
from tests.fakes.hand_clock import HandClock

from outlast_orchestrator.core.errors import StoreError, UserError
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.store.db import open_store
from outlast_orchestrator.store.lock import StoreLock

SAID = Event(Kind.TELL, "x" * 2000)


def _url(file: Path) -> str:
    return f"sqlite:///{file}"


def _one_line(error: pytest.ExceptionInfo[StoreError], *words: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("body", [b"this is not a database at all\n" * 100, os.urandom(4096)])
def test_garbage(tmp_path: Path, body: bytes) -> None:
    file = tmp_path / "outlast.db"
    file.write_bytes(body)
    with pytest.raises(StoreError) as error:
        open_store(_url(file), HandClock())
    _one_line(error, str(file), "not a database")
    assert file.read_bytes() == body


@pytest.mark.parametrize(
    "url", ["postgresql://me:hidden@host:port/x", "postgresql://me:hidden@127.0.0.1:1/x"]
)
def test_a_password_in_its_url_is_never_repeated(url: str) -> None:
    with pytest.raises(StoreError) as error:
        open_store(url, HandClock())
    _one_line(error, "postgresql")
    assert "hidden" not in str(error.value)


def test_a_database_of_something_else(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE jobs (id INTEGER)")
    connection.close()
    with pytest.raises(StoreError) as error:
        open_store(_url(file), HandClock())
    _one_line(error, str(file), "something else")


def test_made_by_a_newer_version(tmp_path: Path) -> None:
    file = tmp_path / "outlast.db"
    open_store(_url(file), HandClock()).close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreError) as error:
        open_store(_url(file), HandClock())
    _one_line(error, "newer", "9999")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as error:
        open_store(_url(tmp_path / "missing" / "outlast.db"), HandClock())
    _one_line(error, "missing")


@pytest.mark.parametrize("url", ["no url", "nosuchdatabase://x/y", ""])
def test_a_bad_url(url: str) -> None:
    with pytest.raises(StoreError) as error:
        open_store(url, HandClock())
    _one_line(error)


def test_read_only(tmp_path: Path) -> None:
    file = tmp_path / "outlast.db"
    open_store(_url(file), HandClock()).close()
    store = open_store(f"sqlite:///file:{file}?mode=ro&uri=true", HandClock())
    assert store.jobs() == []
    with pytest.raises(StoreError) as error:
        store.submit(job(), SAID)
    _one_line(error, "read-only")
    with pytest.raises(StoreError):
        store.lead("me", 10.0)


def test_a_full_disk_loses_nothing_and_mends(tmp_path: Path) -> None:
    store = open_store(_url(tmp_path / "outlast.db"), HandClock())
    term = store.lead("me", 10.0)
    assert term is not None
    store.submit(job(), SAID)
    with store.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreError) as error:
        store.commit(term, [instance()], [SAID] * 50)
    _one_line(error, "disk is full")
    assert store.instances() == []
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    store.commit(term, [instance()], [SAID])
    assert len(store.instances()) == 1


_WRITER = """
import sys
from tests.contracts.rows import instance, job
from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.store.db import open_store

store = open_store(sys.argv[1], SystemClock())
term = store.lead("writer", 10.0)
store.submit(job(), Event(Kind.JOB_SUBMITTED, "x", "j1"))
for number in range(100_000):
    launch = f"l{number}"
    event = Event(Kind.LAUNCH_INTENDED, launch, "j1", data={"launch": launch})
    store.commit(term, [instance(launch)], [event])
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("commits", [1, 7, 23])
def test_killed_in_the_middle_of_commits(tmp_path: Path, commits: int) -> None:
    """What was acknowledged is there; a row is never there without its event, nor the other way round."""
    url = _url(tmp_path / "outlast.db")
    root = Path(__file__).parents[2]
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, url], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert writer.stdout is not None
    with writer.stdout as lines:
        acknowledged = [int(next(lines)) for _ in range(commits)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in lines if line.endswith("\n")]
    writer.wait(timeout=30)
    store = open_store(url, HandClock())
    rows = {record.launch_id for record in store.instances()}
    told = {e.data["launch"] for e in store.events("j1", 0, 100_000) if e.kind is Kind.LAUNCH_INTENDED}
    assert rows == told
    assert {f"l{number}" for number in acknowledged} <= rows
    assert len(rows) <= len(acknowledged) + 1


def test_commits_wait_for_the_disk(tmp_path: Path) -> None:
    """An intent that a power cut takes back is a machine that nobody knows."""
    store = open_store(_url(tmp_path / "outlast.db"), HandClock())
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_the_lock_names_who_holds_it_and_ends_with_them(tmp_path: Path) -> None:
    file = tmp_path / "outlast.db"
    lock = StoreLock(file, 4711)
    with pytest.raises(UserError, match=r"pid 4711.*outlast server stop") as error:
        StoreLock(file, 2)
    assert "\n" not in str(error.value)
    lock.release()
    StoreLock(file, 3).release()


def test_two_writers_in_two_threads_of_a_process_wait_for_each_other(tmp_path: Path) -> None:
    one, two = (open_store(_url(tmp_path / "outlast.db"), HandClock()) for _ in range(2))
    term = one.lead("me", 10.0)
    assert term is not None
    one.submit(job(), SAID)
    for number in range(20):
        one.commit(term, [instance(f"l{number}")], [])
        two.add_token(f"t{number}", f"h{number}", "admin", 1.0)
    assert len(two.instances()) == 20
