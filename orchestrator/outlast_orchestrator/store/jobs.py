"""Jobs and what the controller made of them: rows in, rows out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from outlast_orchestrator.core.errors import StoreError, UserError
from outlast_orchestrator.core.ports import Row, Rows
from outlast_orchestrator.core.types import (
    OVER,
    Attempt,
    Block,
    FactMark,
    Instance,
    InstancePhase,
    Job,
    Progress,
)
from outlast_orchestrator.store.bodies import decode, encode
from outlast_orchestrator.store.known import Known, read
from outlast_orchestrator.store.tables import (
    AttemptRow,
    BlockRow,
    FactMarkRow,
    InstanceRow,
    JobRow,
    ProgressRow,
)
from outlast_orchestrator.store.upsert import put

_OVER = [state.value for state in OVER]
_GONE = InstancePhase.GONE.value


def save_rows(session: Session, rows: Sequence[Row]) -> None:
    """Inserts or replaces, a statement for each table. Marks come last: they refer to instances."""
    put(session, ProgressRow, [_progress(row) for row in rows if isinstance(row, Progress)])
    put(session, AttemptRow, [_attempt(row) for row in rows if isinstance(row, Attempt)])
    put(session, InstanceRow, [_instance(row) for row in rows if isinstance(row, Instance)])
    put(session, BlockRow, [_block(row) for row in rows if isinstance(row, Block)])
    put(session, FactMarkRow, [_mark(row) for row in rows if isinstance(row, FactMark)])


def _progress(row: Progress) -> dict[str, Any]:
    return {"job": row.job, "state": row.state.value, "body": encode(row)}


def _attempt(row: Attempt) -> dict[str, Any]:
    return {"job": row.job, "generation": row.generation, "open": row.open, "body": encode(row)}


def _instance(row: Instance) -> dict[str, Any]:
    return {
        "launch_id": row.launch_id,
        "job": row.job,
        "phase": row.phase.value,
        "token_hash": row.token_hash,
        "intended_at": row.intended_at,
        "body": encode(row),
    }


def _block(row: Block) -> dict[str, Any]:
    return {"scope": row.scope, "body": encode(row)}


def _mark(row: FactMark) -> dict[str, Any]:
    return {"launch_id": row.launch_id, "boot": row.boot, "until": row.until}


def unblock(session: Session, scopes: Sequence[str]) -> None:
    for scope in scopes:
        row = session.get(BlockRow, scope)
        if row is not None:
            session.delete(row)


# What every tick reads: as plain columns, over queries that are made once. A session that maps them, and a
# query that is made each time, cost an idle controller most of its time.

_PROGRESS = select(ProgressRow.job, ProgressRow.body).order_by(ProgressRow.job)
_LIVING_INSTANCES = (
    select(InstanceRow.launch_id, InstanceRow.job, InstanceRow.body)
    .where(InstanceRow.phase != _GONE)
    .order_by(col(InstanceRow.intended_at), InstanceRow.launch_id)
)
_BLOCKS = select(BlockRow.scope, BlockRow.body).order_by(BlockRow.scope)
_JOBS = select(JobRow.id, JobRow.body).order_by(col(JobRow.created_at), JobRow.id)


def read_rows(connection: Connection, known: Known) -> Rows:
    return Rows(
        jobs=read_jobs(connection, known),
        progress=read_progress(connection, known),
        attempts=read_open_attempts(connection, known),
        instances=read_living_instances(connection, known),
        blocks=read_blocks(connection, known),
        damaged=known.damaged(),
    )


def read_progress(connection: Connection, known: Known | None = None) -> list[Progress]:
    rows = connection.execute(_PROGRESS).all()
    return read(known, "progress", Progress, [(job, job, body) for job, body in rows])


def read_attempts(session: Session, job: str | None) -> list[Attempt]:
    query = select(AttemptRow.body).order_by(AttemptRow.job, col(AttemptRow.generation))
    if job is not None:
        query = query.where(AttemptRow.job == job)
    return [decode(Attempt, body) for body in session.exec(query).all()]


def read_open_attempts(connection: Connection, known: Known) -> list[Attempt]:
    """Those not closed, and each job's newest closed one."""
    rows = connection.execute(_open_attempts()).all()
    return read(known, "attempts", Attempt, [(f"{job}/{number}", job, body) for job, number, body in rows])


@functools.cache
def _open_attempts() -> Any:
    other = aliased(AttemptRow)
    newest_closed = (
        select(func.max(other.generation))
        .where(other.job == AttemptRow.job, col(other.open).is_(False))
        .correlate(AttemptRow)
        .scalar_subquery()
    )
    return (
        select(AttemptRow.job, AttemptRow.generation, AttemptRow.body)
        .where(col(AttemptRow.open).is_(True) | (col(AttemptRow.generation) == newest_closed))
        .order_by(AttemptRow.job, col(AttemptRow.generation))
    )


def read_living_instances(connection: Connection, known: Known) -> list[Instance]:
    rows = connection.execute(_LIVING_INSTANCES).all()
    return read(known, "instances", Instance, [(i, job, body) for i, job, body in rows])


def read_instances(session: Session, job: str | None, gone: bool) -> list[Instance]:
    """One job's, all readable or none; those of all jobs without the damaged ones."""
    query = select(InstanceRow.launch_id, InstanceRow.job, InstanceRow.body)
    query = query.order_by(col(InstanceRow.intended_at), InstanceRow.launch_id)
    if job is not None:
        query = query.where(InstanceRow.job == job)
    if not gone:
        query = query.where(InstanceRow.phase != _GONE)
    rows = [(launch_id, of, body) for launch_id, of, body in session.exec(query).all()]
    return read(Known() if job is None else None, "instances", Instance, rows)


def read_blocks(connection: Connection, known: Known) -> list[Block]:
    rows = connection.execute(_BLOCKS).all()
    return read(known, "blocks", Block, [(scope, "", body) for scope, body in rows])


def read_fact_marks(session: Session) -> dict[tuple[str, str], int]:
    query = (
        select(FactMarkRow)
        .join(InstanceRow, col(InstanceRow.launch_id) == col(FactMarkRow.launch_id))
        .where(InstanceRow.phase != _GONE)
    )
    return {(row.launch_id, row.boot): row.until for row in session.exec(query).all()}


def node_of_token(session: Session, token_hash: str) -> tuple[str, str, float] | None:
    """The instance whose node has this token, as a token: it ends with the machine."""
    query = select(InstanceRow.body).where(InstanceRow.token_hash == token_hash, InstanceRow.phase != _GONE)
    body = session.exec(query).first()
    if body is None:
        return None
    instance = decode(Instance, body)
    return instance.launch_id, "node", instance.intended_at + instance.request.max_life_s


def add_job(session: Session, job: Job) -> None:
    """Raises UserError when a living job has that name."""
    living = (
        select(JobRow.id)
        .outerjoin(ProgressRow, col(ProgressRow.job) == col(JobRow.id))
        .where(JobRow.name == job.name)
        .where(col(ProgressRow.state).is_(None) | col(ProgressRow.state).not_in(_OVER))
    )
    other = session.exec(living).first()
    if other is not None:
        raise UserError(
            f"a job named {job.name!r} is not over yet ({other}): "
            "choose another name, or cancel that one first"
        )
    if session.get(JobRow, job.id) is not None:
        raise StoreError(f"there is a job with the id {job.id} already")
    session.add(_job_row(job))


def replace_job(session: Session, job: Job) -> None:
    """Raises StoreError when somebody else's wish came between reading and writing."""
    row = session.get(JobRow, job.id, with_for_update=True)
    if row is None:
        raise StoreError(f"there is no job {job.id}")
    if job.wanted_number <= row.wanted_number:
        raise StoreError(
            f"job {job.name} was changed by somebody else at the same time: look again, then repeat"
        )
    session.merge(_job_row(job))


def _job_row(job: Job) -> JobRow:
    return JobRow(
        id=job.id,
        name=job.name,
        created_at=job.created_at,
        wanted_number=job.wanted_number,
        body=encode(job),
    )


def read_jobs(connection: Connection, known: Known | None = None) -> list[Job]:
    rows = connection.execute(_JOBS).all()
    return read(known, "jobs", Job, [(job, job, body) for job, body in rows])


def read_job(session: Session, name_or_id: str) -> Job | None:
    body = session.exec(select(JobRow.body).where(JobRow.id == name_or_id)).first()
    if body is None:
        newest = select(JobRow.body).where(JobRow.name == name_or_id).order_by(col(JobRow.created_at).desc())
        body = session.exec(newest).first()
    return None if body is None else decode(Job, body)
