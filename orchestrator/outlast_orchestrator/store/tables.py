"""The tables: real columns for what is queried, one canonical JSON body for what is only read back.

The body is what counts; a column beside it repeats a field of it, and is written from it in the same row.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Text
from sqlmodel import Field, SQLModel

# SQLite numbers rows by itself only in a column that it calls INTEGER.
_SEQ = BigInteger().with_variant(Integer(), "sqlite")


class StoreRow(SQLModel, table=True):
    """What was born with the store. One row."""

    __tablename__ = "store"
    id: int = Field(primary_key=True)
    owner: str
    created_at: float


class LeaderRow(SQLModel, table=True):
    """Who leads. One row. `beat` grows with every renewal, so that a watcher sees life without comparing
    clocks; `ttl_s` is how long the holder may be quiet."""

    __tablename__ = "leadership"
    id: int = Field(primary_key=True)
    number: int
    holder: str  # "": nobody; the last one resigned
    beat: int = Field(sa_column=Column(BigInteger(), nullable=False))
    ttl_s: float


class JobRow(SQLModel, table=True):
    __tablename__ = "jobs"
    id: str = Field(primary_key=True)
    name: str = Field(index=True)
    created_at: float
    wanted_number: int
    body: str = Field(sa_column=Column(Text(), nullable=False))


class ProgressRow(SQLModel, table=True):
    __tablename__ = "progress"
    job: str = Field(primary_key=True, foreign_key="jobs.id")
    state: str = Field(index=True)
    body: str = Field(sa_column=Column(Text(), nullable=False))


class AttemptRow(SQLModel, table=True):
    __tablename__ = "attempts"
    job: str = Field(primary_key=True, foreign_key="jobs.id")
    generation: int = Field(primary_key=True)
    open: bool = Field(index=True)
    body: str = Field(sa_column=Column(Text(), nullable=False))


class InstanceRow(SQLModel, table=True):
    __tablename__ = "instances"
    launch_id: str = Field(primary_key=True)
    job: str = Field(foreign_key="jobs.id", index=True)
    phase: str = Field(index=True)
    token_hash: str = Field(index=True)  # "": not installed yet
    intended_at: float
    body: str = Field(sa_column=Column(Text(), nullable=False))


class BlockRow(SQLModel, table=True):
    __tablename__ = "blocks"
    scope: str = Field(primary_key=True)
    body: str = Field(sa_column=Column(Text(), nullable=False))


class FactMarkRow(SQLModel, table=True):
    """Up to which id a boot's facts are in the event log: written in the same transaction as the events."""

    __tablename__ = "fact_marks"
    launch_id: str = Field(primary_key=True, foreign_key="instances.launch_id")
    boot: str = Field(primary_key=True)
    until: int = Field(sa_column=Column(BigInteger(), nullable=False))


class EventRow(SQLModel, table=True):
    """The append-only log. No foreign key: an event of the controller itself has no job."""

    __tablename__ = "events"
    __table_args__ = {"sqlite_autoincrement": True}  # a number that was pruned never comes again
    seq: int | None = Field(default=None, sa_column=Column(_SEQ, primary_key=True, autoincrement=True))
    at: float = Field(index=True)
    job: str = Field(index=True)
    attempt: int | None = None
    node: int | None = None
    kind: str
    why: str = Field(sa_column=Column(Text(), nullable=False))
    data: str = Field(sa_column=Column(Text(), nullable=False))


class TokenRow(SQLModel, table=True):
    __tablename__ = "tokens"
    token_hash: str = Field(primary_key=True)
    name: str
    scope: str
    expires_at: float
