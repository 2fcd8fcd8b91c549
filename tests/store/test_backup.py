"""A backup of a living store, and a store made of it again: whole, private, never over something newer."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from tests.contracts.rows import job, progress
from tests.fakes.hand_clock import HandClock

from outlast_orchestrator.core.errors import OutlastError, StoreError, UserError
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.store.backup import Stamp, back_up, examine
from outlast_orchestrator.store.db import SqlStore, open_store
from outlast_orchestrator.store.restore import EVENTS_SKIPPED, Restore, put_back

KEY = "ab" * 32
TTL_S = 15.0


class Desk:
    """A store in a home, and a backup of it beside."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.url = f"sqlite:///{self.home / 'outlast.db'}"
        self.file = folder / "backup"
        self.clock = HandClock()

    def open(self) -> SqlStore:
        return open_store(self.url, self.clock)

    def submit(self, *names: str) -> None:
        store = self.open()
        for name in names:
            store.submit(job(name, name), Event(Kind.JOB_SUBMITTED, "submitted", name))
        store.close()

    def back_up(self, *, overwrite: bool = False) -> None:
        back_up(self.url, self.file, Stamp(self.clock.wall_s(), "0", KEY), overwrite=overwrite)

    def restore(self, *, overwrite: bool = False) -> str:
        return put_back(self.url, self.home, Restore(self.file, overwrite), self.clock)

    def jobs(self) -> list[str]:
        store = self.open()
        found = [one.id for one in store.jobs()]
        store.close()
        return found

    def names(self) -> set[str]:
        """Without what SQLite leaves beside a database that was only read."""
        beside = ("-wal", "-shm")
        return {path.name for path in self.home.iterdir() if not path.name.endswith(beside)}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def one_line(error: pytest.ExceptionInfo[OutlastError], *words: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text


def test_a_backup_is_one_private_file_and_nothing_beside_it(desk: Desk) -> None:
    desk.submit("j1")
    held = desk.open()  # the server is running
    desk.back_up()
    held.close()
    assert stat.S_IMODE(desk.file.stat().st_mode) == 0o600
    assert [path.name for path in desk.file.parent.iterdir() if path != desk.home] == ["backup"]
    found = examine(desk.file)
    assert (found.jobs, found.node_key, found.made_at) == (1, KEY, desk.clock.wall_s())


def test_it_is_one_consistent_picture_while_others_write(desk: Desk) -> None:
    """Each submit writes a job and its event in one transaction: a backup never has one without the other."""
    desk.submit("first")
    stop, written = threading.Event(), threading.Event()

    def write() -> None:
        store, number = desk.open(), 0
        while not stop.is_set():
            number += 1
            store.submit(
                job(f"j{number}", f"j{number}"), Event(Kind.JOB_SUBMITTED, "submitted", f"j{number}")
            )
            written.set()
        store.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            assert written.wait(30)
            written.clear()
            desk.back_up(overwrite=True)
            with sqlite3.connect(desk.file) as copy:
                jobs = {row[0] for row in copy.execute("SELECT id FROM jobs")}
                told = {row[0] for row in copy.execute("SELECT job FROM events")}
            copy.close()
            assert jobs == told
    finally:
        stop.set()
        writer.join(30)


def test_a_file_that_exists_is_kept_unless_told_otherwise(desk: Desk) -> None:
    desk.submit("j1")
    desk.file.write_text("a letter")
    with pytest.raises(UserError) as caught:
        desk.back_up()
    one_line(caught, str(desk.file), "-f")
    assert desk.file.read_text() == "a letter"
    desk.back_up(overwrite=True)
    assert examine(desk.file).jobs == 1
    desk.file = desk.home / "outlast.db"
    with pytest.raises(UserError, match="choose another name"):
        desk.back_up(overwrite=True)
    assert desk.jobs() == ["j1"]


def test_a_folder_that_is_not_there_and_a_store_that_is_not_there_are_named(desk: Desk) -> None:
    with pytest.raises(UserError, match="there is no store"):
        desk.back_up()
    desk.submit("j1")
    desk.file = desk.home / "nowhere" / "backup"
    with pytest.raises(UserError, match="a folder that exists"):
        desk.back_up()


def test_another_database_is_left_to_its_own_tools(desk: Desk) -> None:
    desk.url = "postgresql+psycopg://ann:secret@db/outlast"
    for act, tool in ((desk.back_up, "pg_dump"), (desk.restore, "pg_restore")):
        with pytest.raises(UserError) as caught:
            act()
        one_line(caught, "postgresql", tool)
        assert "secret" not in str(caught.value)


def test_what_was_lost_comes_back_and_every_job_is_to_be_compared_with_its_pointer(desk: Desk) -> None:
    desk.submit("j1", "j2")
    store = desk.open()
    owner, last = store.owner(), store.events(None, 0, 100)[-1].seq
    store.commit(store.seize("me", TTL_S), [progress("j1")], [])
    store.close()
    desk.back_up()
    for name in desk.names():
        (desk.home / name).unlink()
    desk.clock.forward(3600.0)
    assert "2 jobs" in desk.restore()
    assert desk.names() == {"outlast.db", "node.key"}
    assert stat.S_IMODE((desk.home / "outlast.db").stat().st_mode) == 0o600
    assert (desk.home / "node.key").read_text() == KEY
    store = desk.open()
    assert store.owner() == owner
    assert {one.job: one.restored for one in store.progress()} == {"j1": True, "j2": True}
    newest = store.events(None, last, 100)[-1]
    assert (newest.kind, newest.seq) == (Kind.CONTROLLER_RESTORED, last + EVENTS_SKIPPED + 1)
    assert "3600 s old" in newest.why
    assert store.seize("next", TTL_S).number == 2
    with sqlite3.connect(desk.home / "outlast.db") as opened:
        assert not opened.execute("SELECT 1 FROM sqlite_master WHERE name = 'outlast_backup'").fetchall()
    opened.close()
    store.close()


def test_a_newer_store_stays_unless_told_otherwise_and_is_kept_aside(desk: Desk) -> None:
    desk.submit("j1")
    desk.back_up()
    desk.submit("j2")
    before = (desk.home / "outlast.db").read_bytes()
    with pytest.raises(UserError) as caught:
        desk.restore()
    one_line(caught, "1 events", "-f", "nothing was changed")
    assert (desk.home / "outlast.db").read_bytes() == before
    assert desk.restore(overwrite=True).endswith(f"outlast.db.before-{int(desk.clock.wall_s())}")
    assert desk.jobs() == ["j1"]
    (aside,) = [desk.home / name for name in desk.names() if "before" in name]
    assert examine(aside).jobs == 2
    desk.file = aside  # and what was kept aside is as good as a backup
    desk.clock.forward(1.0)
    desk.restore(overwrite=True)
    assert desk.jobs() == ["j1", "j2"]


def test_a_store_that_was_not_closed_is_kept_with_all_that_lies_beside_it(desk: Desk) -> None:
    desk.submit("j1")
    desk.back_up()
    held = desk.open()
    held.submit(job("j2", "j2"), Event(Kind.JOB_SUBMITTED, "submitted", "j2"))
    assert (desk.home / "outlast.db-wal").stat().st_size > 0
    desk.restore(overwrite=True)
    assert desk.jobs() == ["j1"]
    (aside,) = [name for name in desk.names() if name.endswith(str(int(desk.clock.wall_s())))]
    assert examine(desk.home / aside).jobs == 2
    held.close()


def test_a_store_of_another_owner_is_replaced_only_if_it_is_empty(desk: Desk) -> None:
    desk.submit("j1")
    desk.back_up()
    (desk.home / "outlast.db").unlink()
    desk.open().close()  # somebody started a server on the empty home first
    desk.restore()
    assert desk.jobs() == ["j1"]
    (desk.home / "outlast.db").unlink()
    desk.submit("theirs")
    desk.clock.forward(5.0)
    with pytest.raises(UserError, match="another one, with 1 jobs"):
        desk.restore()
    assert desk.jobs() == ["theirs"]


def test_a_store_that_is_damaged_does_not_stand_in_the_way(desk: Desk) -> None:
    desk.submit("j1")
    desk.back_up()
    (desk.home / "outlast.db").write_bytes(b"garbage " * 4000)
    desk.restore()
    assert desk.jobs() == ["j1"]
    assert any((desk.home / name).read_bytes().startswith(b"garbage") for name in desk.names())


@pytest.mark.parametrize("body", [b"", b"a letter " * 1000])
def test_what_is_no_backup_changes_nothing(desk: Desk, body: bytes) -> None:
    desk.submit("j1")
    desk.file.write_bytes(body)
    with pytest.raises(UserError) as caught:
        desk.restore(overwrite=True)
    one_line(caught, str(desk.file))
    assert desk.jobs() == ["j1"]
    assert desk.names() == {"outlast.db"}


def test_a_backup_that_is_torn_or_of_something_else_changes_nothing(desk: Desk) -> None:
    desk.submit("j1")
    desk.back_up()
    whole = desk.file.read_bytes()
    desk.file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((UserError, StoreError)) as torn:
        desk.restore(overwrite=True)
    one_line(torn, str(desk.file))
    middle = len(whole) // 2
    desk.file.write_bytes(whole[:middle] + os.urandom(4096) + whole[middle + 4096 :])
    with pytest.raises((UserError, StoreError)) as damaged:
        desk.restore(overwrite=True)
    one_line(damaged, str(desk.file))
    desk.file.unlink()
    with sqlite3.connect(desk.file) as other:
        other.execute("CREATE TABLE songs (name TEXT)")
    other.close()
    with pytest.raises(UserError, match="no Outlast store"):
        desk.restore(overwrite=True)
    desk.file.unlink()
    with pytest.raises(UserError, match="there is no file"):
        desk.restore(overwrite=True)
    assert desk.jobs() == ["j1"]
    assert desk.names() == {"outlast.db"}


def test_a_backup_of_a_newer_version_is_named_and_changes_nothing(desk: Desk) -> None:
    desk.submit("j1")
    desk.back_up()
    with sqlite3.connect(desk.file) as opened:
        opened.execute("UPDATE alembic_version SET version_num = '9999'")
    opened.close()
    with pytest.raises(StoreError) as caught:
        desk.restore(overwrite=True)
    one_line(caught, str(desk.file), "newer Outlast")
    assert desk.names() == {"outlast.db"}


def test_the_key_of_another_time_is_kept_aside(desk: Desk) -> None:
    desk.submit("j1")
    desk.back_up()
    (desk.home / "node.key").write_text("cd" * 32)
    desk.restore()
    assert (desk.home / "node.key").read_text() == KEY
    (aside,) = [name for name in desk.names() if name.startswith("node.key.before")]
    assert (desk.home / aside).read_text() == "cd" * 32
    assert stat.S_IMODE((desk.home / aside).stat().st_mode) == 0o600
