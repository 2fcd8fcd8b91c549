"""A store in a file is read again as soon as anybody has committed anything, and not before."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.rows import job, progress
from tests.fakes.hand_clock import HandClock

from outlast_orchestrator.core.errors import Deposed, StoreError
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.ports import Term
from outlast_orchestrator.store.db import SqlStore, open_store

SAID = Event(Kind.JOB_SUBMITTED, "submitted by a test", "j1")
ELSEWHERE = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as store:
    store.execute("UPDATE jobs SET body = replace(body, 'resnet', 'vgg')")
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = open_store(f"sqlite:///{tmp_path / 'outlast.db'}", HandClock())
    yield opened
    opened.close()


@pytest.fixture
def term(store: SqlStore) -> Term:
    found = store.lead("me", 10.0)
    assert found is not None
    return found


def test_without_a_commit_it_is_not_read_again(store: SqlStore, term: Term) -> None:
    store.submit(job(), SAID)
    rows = store.rows()
    assert store.jobs()  # somebody else's look is no commit
    assert store.leads(term)
    assert store.rows() is rows
    assert store.rows() is rows
    store.commit(term, [progress()], [])
    assert store.rows() is not rows


def test_a_commit_of_another_process_is_seen(store: SqlStore, tmp_path: Path) -> None:
    store.submit(job(name="resnet"), SAID)
    assert [one.name for one in store.rows().jobs] == ["resnet"]
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(tmp_path / "outlast.db")], check=True)
    assert [one.name for one in store.rows().jobs] == ["vgg"]


def test_each_of_many_commits_of_other_threads_is_seen(store: SqlStore, term: Term) -> None:
    store.submit(job(), SAID)
    store.rows()

    def write(failures: int) -> None:
        store.commit(term, [progress(failures=failures)], [])

    for failures in range(1, 20):
        thread = threading.Thread(target=write, args=(failures,))
        thread.start()
        thread.join()
        assert [one.failures for one in store.rows().progress] == [failures]


def test_what_was_rolled_back_changes_nothing(store: SqlStore, term: Term) -> None:
    store.submit(job(), SAID)
    before = list(store.rows().progress)
    with pytest.raises(Deposed):
        store.commit(Term(term.number, "somebody else"), [progress()], [])
    assert list(store.rows().progress) == before == []


def test_a_file_that_broke_is_told_in_one_line_and_looked_at_anew(store: SqlStore, tmp_path: Path) -> None:
    store.submit(job(), SAID)
    store.rows()
    store._changes._drop()
    store.engine.dispose()
    file = tmp_path / "outlast.db"
    whole = file.read_bytes()
    for part in tmp_path.glob("outlast.db-*"):
        part.unlink()
    file.write_bytes(b"no database at all, whatever its name says" * 200)
    with pytest.raises(StoreError, match="is not a database"):
        store.rows()
    file.write_bytes(whole)
    assert [one.id for one in store.rows().jobs] == ["j1"]
