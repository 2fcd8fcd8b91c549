"""What alembic runs: upgrades over the connection and inside the transaction that `migrate` opened."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

from outlast_orchestrator.store import tables

assert tables.StoreRow.metadata is SQLModel.metadata  # the import above fills it

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
