"""Jobs that are in the bucket and not in the store: they are told, and nothing that works is ended."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.contracts.rows import attempt
from tests.controller.stage import LIMITS, Stage, report, seen
from tests.core.build import pointer

from outlast.protocol.objects import InstanceRef, Pointer, PointerState, status_key
from outlast_orchestrator.controller.loop import Controller
from outlast_orchestrator.controller.lost import FRESH_S
from outlast_orchestrator.controller.schedule import SWEEP
from outlast_orchestrator.core.errors import Garbage
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import Job

GRACE_S = LIMITS.orphan_grace_s + 60.0
TICK_S = 10.0


def _stage(*, restored: bool = False, storage: str = "file:///b") -> Stage:
    stage = Stage()
    stage.parts = replace(stage.parts, storage=storage, restored=restored)
    stage.controller = Controller(stage.parts, stage.alarm)
    return stage


def _with_stranger(**more: str) -> Stage:
    stage = _stage(**more)  # type: ignore[arg-type]
    stage.submit()
    stage.cloud.listed = [seen("lost", job="who", owner=stage.store.owner())]
    return stage


def _for(stage: Stage, seconds: float) -> None:
    stage.tick(int(seconds / TICK_S), TICK_S)


def _runs_on(machine: str, state: PointerState = PointerState.RUNNING) -> Pointer:
    return replace(pointer(2, state), instances=(InstanceRef("here", "r1", machine),))


def _told(stage: Stage) -> list[Event]:
    return [event for event in stage.store.events(None, 0, 1000) if event.kind is Kind.JOB_UNKNOWN]


def test_the_machine_of_a_lost_job_is_left_alone_as_long_as_it_runs_and_that_is_told_once() -> None:
    stage = _with_stranger()
    stage.buckets.pointer = _runs_on("i-lost")
    _for(stage, GRACE_S)
    assert stage.cloud.terminated == []
    (told,) = _told(stage)
    assert told.data["job"] == "who"
    for word in ("job who", "file:///b", "after the backup", "i-lost", "left alone", "step 100"):
        assert word in told.why
    stage.buckets.pointer = _runs_on("i-lost", PointerState.ENDED)
    _for(stage, GRACE_S)
    assert set(stage.cloud.terminated) == {"i-lost"}
    assert len(_told(stage)) == 1


@pytest.mark.parametrize(
    "found",
    [None, _runs_on("i-other"), _runs_on("i-lost", PointerState.RELEASED)],
    ids=lambda one: str(one)[:9],
)
def test_a_machine_that_no_pointer_names_is_ended_after_its_time(found: Pointer | None) -> None:
    stage = _with_stranger()
    stage.buckets.pointer = found
    _for(stage, GRACE_S)
    assert set(stage.cloud.terminated) == {"i-lost"}


def test_a_machine_whose_tags_name_no_job_is_told_and_left_alone() -> None:
    """It may work for any of them: no pointer can be looked up that would say so."""
    stage = _stage()
    stage.submit()
    stage.cloud.listed = [seen("lost", job="", owner=stage.store.owner())]
    _for(stage, GRACE_S)
    assert stage.cloud.terminated == []
    orphans = [event for event in stage.store.events(None, 0, 1000) if event.kind is Kind.ORPHAN_FOUND]
    assert ["i-lost" in event.why for event in orphans] == [True]


def test_a_machine_whose_storage_can_not_be_read_is_not_ended() -> None:
    stage = _with_stranger()
    stage.buckets.down = True
    _for(stage, GRACE_S)
    assert stage.cloud.terminated == []
    assert stage.kinds("").count(Kind.ORPHAN_FOUND) == 1
    stage.buckets.down = False
    _for(stage, GRACE_S)
    assert set(stage.cloud.terminated) == {"i-lost"}


@pytest.mark.parametrize("storage", ["", "file:///b"])
def test_where_no_storage_is_known_nothing_is_ended(storage: str) -> None:
    """No job is left here, so only the sweep looks around, and only the place of new jobs is known."""
    stage = _stage(storage=storage)
    stage.cloud.listed = [seen("lost", job="who", owner=stage.store.owner())]
    for _ in range(10):
        stage.due.mark(SWEEP)
        stage.tick(12, TICK_S)
    assert bool(stage.cloud.terminated) == bool(storage)


def test_a_region_that_is_listed_rarely_is_no_reason_to_forget_a_machine() -> None:
    """Each reading of the bucket is old by the next listing: it counts when it comes."""
    stage = _stage()
    stage.cloud.listed = [seen("lost", job="who", owner=stage.store.owner())]
    for _ in range(4):
        stage.due.mark(SWEEP)
        stage.tick(int(FRESH_S * 2 / TICK_S), TICK_S)
    assert set(stage.cloud.terminated) == {"i-lost"}
    stage.due.mark(SWEEP)
    stage.tick(3, TICK_S)  # what was read is fresh now
    stage.cloud.listed, count = [], len(stage.cloud.terminated)
    for _ in range(3):
        stage.due.mark(SWEEP)
        stage.tick(3, TICK_S)
    assert len(stage.cloud.terminated) == count, "what is not listed any more is not ended again"


def test_after_a_restore_the_storage_is_searched_once_for_jobs_without_a_machine() -> None:
    stage = _stage(restored=True)
    stage.submit()
    stage.buckets.listed = ["j1", "paused"]
    stage.buckets.pointer = _runs_on("i-1", PointerState.RELEASED)
    _for(stage, 120.0)
    assert [event.data["job"] for event in _told(stage)] == ["paused"]
    assert "released" in _told(stage)[0].why


def test_without_a_restore_nothing_is_searched() -> None:
    stage = _stage()
    stage.submit()
    stage.buckets.listed = ["paused"]
    stage.buckets.pointer = _runs_on("i-1")
    _for(stage, 60.0)
    assert _told(stage) == []


def test_a_search_that_fails_is_made_again_and_what_is_another_owners_is_read_once() -> None:
    stage = _stage(restored=True)
    stage.submit()
    stage.buckets.listed = ["theirs"]
    stage.buckets.down = True
    reads: list[str] = []

    def read(job: Job) -> Pointer | None:
        if job.id != "j1":
            reads.append(job.id)
        raise Garbage("it is another owner's")

    stage.buckets.read = read  # type: ignore[method-assign]
    _for(stage, 60.0)
    assert reads == []
    stage.buckets.down = False
    _for(stage, 200.0)
    assert reads == ["theirs"]
    assert _told(stage) == []


def test_an_owner_without_a_known_machine_lives_as_long_as_its_status_changes() -> None:
    """The store is an old one and the cloud can't be listed: what the bucket says of the owner must count."""
    stage = Stage()
    stage.submit(replace(attempt(4, claimed=True), launches=()))
    key = status_key(4, 0)
    for number in range(30):
        stage.write_status(key, report("unknown", seq=number))
        stage.tick(1)
    assert stage.view().listening_s < 10.0
    stage.tick(30)
    assert stage.view().listening_s > 20.0
