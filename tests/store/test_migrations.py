"""Models and migrations are two descriptions of the same tables."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel
from tests.fakes.hand_clock import HandClock

from outlast_orchestrator.store.db import open_store


def test_migrations_make_what_the_models_say(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'outlast.db'}", HandClock())
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'outlast.db'}"
    first = open_store(url, HandClock())
    owner = first.owner()
    first.close()
    assert open_store(url, HandClock()).owner() == owner
