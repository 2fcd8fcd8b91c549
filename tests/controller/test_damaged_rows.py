"""A row that can't be read stops its own job, with a tell that names it, and nothing else."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from tests.contracts.rows import attempt, instance
from tests.controller.stage import LIMITS, Stage, ready, seen

from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.types import InstancePhase

GRACE_S = LIMITS.orphan_grace_s
TABLES = {"jobs": "id", "progress": "job", "attempts": "job", "instances": "job"}


@pytest.fixture
def stage() -> Stage:
    """Two jobs with a machine each, looked at."""
    found = Stage()
    owner = found.store.owner()
    found.submit(attempt(), ready("l1"), job_id="j1")
    second = instance("l2", "j2", InstancePhase.READY, id="i-l2")
    found.submit(attempt(1, "j2"), second, job_id="j2")
    found.cloud.listed = [seen("l1", owner=owner), seen("l2", owner=owner, job="j2")]
    found.settle()
    found.views.clear()
    return found


def _write(stage: Stage, table: str, body: object) -> None:
    with stage.store.engine.begin() as connection:
        connection.execute(
            text(f"UPDATE {table} SET body = :body WHERE {TABLES[table]} = 'j1'"), {"body": body}
        )


def _body(stage: Stage, table: str) -> str:
    with stage.store.engine.begin() as connection:
        found = connection.execute(text(f"SELECT body FROM {table} WHERE {TABLES[table]} = 'j1'"))
        return str(found.scalar_one())


def _told(stage: Stage) -> list[str]:
    return [one.why for one in stage.store.events("j1", 0, 1000) if one.kind is Kind.TELL]


@pytest.mark.parametrize("table", TABLES)
def test_only_its_own_job_stops_and_it_goes_on_when_the_row_is_mended(stage: Stage, table: str) -> None:
    whole = _body(stage, table)
    _write(stage, table, whole[: len(whole) // 2])
    stage.tick(5)
    assert set(stage.views) == {"j2"}
    assert len(_told(stage)) == 1, "told once, not with every tick"
    assert f"table {table}" in _told(stage)[0]
    _write(stage, table, whole)
    stage.tick(2)
    assert set(stage.views) == {"j1", "j2"}


@pytest.mark.parametrize("table", TABLES)
def test_its_machine_is_neither_adopted_nor_ended(stage: Stage, table: str) -> None:
    """What can't be read is no proof that nobody owns the machine."""
    _write(stage, table, "{}")
    owner = stage.store.owner()
    stage.buckets.pointer = None
    stage.cloud.listed = [seen("l1", owner=owner), seen("l2", owner=owner, job="j2")]
    stage.tick(int(GRACE_S / 20) + 5, seconds=20.0)
    assert stage.cloud.terminated == []
    assert Kind.INSTANCE_ADOPTED not in stage.kinds()
    assert Kind.ORPHAN_FOUND not in stage.kinds()


def test_a_broken_byte_is_one_damaged_row(stage: Stage) -> None:
    """Text that is no UTF-8: the database itself refuses to hand out a whole answer with it."""
    with stage.store.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE progress SET body = CAST(CAST(body AS BLOB) || X'FF' AS TEXT) WHERE job = 'j1'"
        )
    stage.tick(3)
    assert set(stage.views) == {"j2"}
    assert "table progress" in _told(stage)[0]


def test_people_are_still_shown_all_the_others(stage: Stage) -> None:
    _write(stage, "progress", "[]")
    assert [one.id for one in stage.store.jobs()] == ["j1", "j2"]
    assert [one.job for one in stage.store.progress()] == ["j2"]
    assert stage.store.damaged().keys() == {"j1"}
