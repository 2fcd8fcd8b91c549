"""Makes a backup the store again: the old one is kept aside, and every job is marked as restored."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Engine, text

from outlast_orchestrator.core.errors import StoreError, UserError
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.core.types import Progress
from outlast_orchestrator.store import events as event_rows
from outlast_orchestrator.store import jobs as job_rows
from outlast_orchestrator.store.backup import Contents, copy, examine, file_of, forget_about, put_in_place
from outlast_orchestrator.store.engine import open_engine, writing
from outlast_orchestrator.store.migrate import migrate
from outlast_orchestrator.store.private import KEY_FILE, read_key, write_private

# Numbers that readers of the lost events may know: what comes now must not look old to them.
EVENTS_SKIPPED = 1_000_000
_BESIDE = ("-wal", "-shm")  # what SQLite keeps next to a database that was not closed


@dataclass(frozen=True)
class Restore:
    file: Path
    overwrite: bool = False  # also a store that holds something newer


def put_back(url: str, home: Path, restore: Restore, clock: Clock) -> str:
    """For whoever holds the store's lock. Returns what was done; raises UserError and StoreError, and then
    the store is as it was."""
    store, file = file_of(url, restore=True), restore.file
    if store.exists() and file.exists() and file.samefile(store):
        raise UserError(f"{file} is the store itself: start without --from-backup")
    backup = examine(file)
    if not restore.overwrite:
        _refuse_newer(store, file, backup)
    fresh = store.with_name(f".{store.name}.restoring")
    try:
        copy(file, fresh)
        forget_about(fresh)
        _prepare(fresh, file, backup, clock)
        aside = _set_aside(store, int(clock.wall_s()))
        _put_key_back(home, backup, int(clock.wall_s()))
        put_in_place(fresh, store, overwrite=True)
    except OSError as error:
        raise StoreError(f"{store} can't be restored: {error.strerror} ({error.filename})") from error
    finally:
        for end in ("", *_BESIDE):
            fresh.with_name(fresh.name + end).unlink(missing_ok=True)
    kept = f"; the store that was there is kept as {aside}" if aside is not None else ""
    return f"the store is restored from {file} ({backup.jobs} jobs){kept}"


def _refuse_newer(store: Path, file: Path, backup: Contents) -> None:
    """A store that can't be read any more is what backups are for: it does not stand in the way."""
    if not store.exists():
        return
    try:
        there = examine(store)
    except UserError:
        return
    add = "nothing was changed; add -f to use the backup all the same: the store is kept aside"
    if there.owner != backup.owner:
        if there.jobs:
            raise UserError(f"the store {store} is another one, with {there.jobs} jobs of its own: {add}")
    elif there.event_max > backup.event_max:
        newer = there.event_max - backup.event_max
        raise UserError(f"the store {store} holds {newer} events that {file} does not have: {add}")


def _prepare(fresh: Path, file: Path, backup: Contents, clock: Clock) -> None:
    engine = open_engine(f"sqlite:///{fresh}")
    try:
        migrate(engine)
        with writing(engine) as session:
            session.connection().execute(
                text("UPDATE sqlite_sequence SET seq = seq + :more WHERE name = 'events'"),
                {"more": EVENTS_SKIPPED},
            )
        age_s = clock.wall_s() - (backup.made_at or backup.event_at)
        mark_restored(engine, clock, f"the store was restored from {file.name}, {age_s:.0f} s old")
    except StoreError as error:
        raise StoreError(str(error).replace(str(fresh), str(file))) from error
    finally:
        engine.dispose()


def mark_restored(engine: Engine, clock: Clock, why: str) -> None:
    """Before anything is decided for a job, its pointer is asked what has happened since."""
    with writing(engine) as session:
        known = {progress.job: progress for progress in job_rows.read_progress(session.connection())}
        marked = [
            replace(known.get(job.id, Progress(job.id, since=job.created_at)), restored=True)
            for job in job_rows.read_jobs(session.connection())
        ]
        job_rows.save_rows(session, marked)
        event_rows.append(session, [Event(Kind.CONTROLLER_RESTORED, why)], clock.wall_s())


def _set_aside(store: Path, now_at: int) -> Path | None:
    """A second name for it first, so that the name of the store is never without one: a server that starts
    at the wrong moment would make an empty store, of a new owner."""
    if not store.exists():
        return None
    aside = store.with_name(f"{store.name}.before-{now_at}")
    for end in _BESIDE:
        beside = store.with_name(store.name + end)
        if beside.exists():
            beside.replace(aside.with_name(aside.name + end))
    try:
        os.link(store, aside)
    except FileExistsError as error:
        raise UserError(f"{aside} exists: wait a second, then try again") from error
    except OSError:
        shutil.copy2(store, aside)  # a file system without hard links
    return aside


def _put_key_back(home: Path, backup: Contents, now_at: int) -> None:
    """The nodes that run know the tokens that follow from the key of their time."""
    known = read_key(home)
    if not backup.node_key or known == backup.node_key:
        return
    if known:
        write_private(home / f"{KEY_FILE}.before-{now_at}", known)
    write_private(home / KEY_FILE, backup.node_key)
