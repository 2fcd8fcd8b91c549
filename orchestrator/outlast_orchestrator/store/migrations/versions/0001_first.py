"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from outlast_orchestrator.core.errors import StoreError

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _one_row_tables()
    _jobs()
    _machines()
    _log()


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _word(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _real(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Float(), nullable=False)


def _one_row_tables() -> None:
    op.create_table(
        "store", _number("id"), _word("owner"), _real("created_at"), sa.PrimaryKeyConstraint("id")
    )
    op.create_table(
        "leadership",
        _number("id"),
        _number("number"),
        _word("holder"),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        _real("ttl_s"),
        sa.PrimaryKeyConstraint("id"),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        _word("id"),
        _word("name"),
        _real("created_at"),
        _number("wanted_number"),
        _text("body"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_jobs_name", "jobs", ["name"])
    op.create_table(
        "progress",
        _word("job"),
        _word("state"),
        _text("body"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("job"),
    )
    op.create_index("ix_progress_state", "progress", ["state"])


def _machines() -> None:
    op.create_table(
        "attempts",
        _word("job"),
        _number("generation"),
        sa.Column("open", sa.Boolean(), nullable=False),
        _text("body"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("job", "generation"),
    )
    op.create_index("ix_attempts_open", "attempts", ["open"])
    op.create_table(
        "instances",
        _word("launch_id"),
        _word("job"),
        _word("phase"),
        _word("token_hash"),
        _real("intended_at"),
        _text("body"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("launch_id"),
    )
    for column in ("job", "phase", "token_hash"):
        op.create_index(f"ix_instances_{column}", "instances", [column])
    op.create_table("blocks", _word("scope"), _text("body"), sa.PrimaryKeyConstraint("scope"))
    op.create_table(
        "fact_marks",
        _word("launch_id"),
        _word("boot"),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["launch_id"], ["instances.launch_id"]),
        sa.PrimaryKeyConstraint("launch_id", "boot"),
    )


def _log() -> None:
    op.create_table(
        "events",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        _real("at"),
        _word("job"),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("node", sa.Integer(), nullable=True),
        _word("kind"),
        _text("why"),
        _text("data"),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    for column in ("at", "job"):
        op.create_index(f"ix_events_{column}", "events", [column])
    op.create_table(
        "tokens",
        _word("token_hash"),
        _word("name"),
        _word("scope"),
        _real("expires_at"),
        sa.PrimaryKeyConstraint("token_hash"),
    )


def downgrade() -> None:
    raise StoreError("tables are never taken back: restore a backup from before instead")
