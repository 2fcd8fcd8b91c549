"""Brings a store's tables up to this version, with the scripts that are packed beside this file."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from outlast_orchestrator.core.errors import StoreError
from outlast_orchestrator.store.engine import migrating_connection

SCRIPTS = Path(__file__).parent / "migrations"


def migrate(engine: Engine) -> None:
    """In one transaction, one controller at a time: two that start together do not meet halfway.

    Raises StoreError.
    """
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    with migrating_connection(engine) as connection:
        found = MigrationContext.configure(connection).get_current_heads()
        if tuple(found) == tuple(scripts.get_heads()):
            return
        _refuse_strangers(engine, scripts, connection, found)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _refuse_strangers(
    engine: Engine, scripts: ScriptDirectory, connection: Connection, found: tuple[str, ...]
) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    unknown = sorted(set(found) - known)
    if unknown:
        raise StoreError(
            f"the store {engine.url.database} was made by a newer Outlast (its tables are at {unknown[0]}): "
            "install that version again, or restore a backup from before"
        )
    if not found and engine.dialect.has_table(connection, "jobs"):
        raise StoreError(
            f"the store {engine.url.database} is a database of something else: choose another file"
        )
