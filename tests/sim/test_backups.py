"""The simulated store goes back to what it was, and what the checkers then forget and what they keep."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sim.made_up import attempt, instance, job, launched, progress, stored, taken
from tests.sim.telling import told

from outlast_orchestrator.core.errors import Deposed, StoreError
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import InstancePhase, JobState
from outlast_orchestrator.simulate.checkers.finished import Finished
from outlast_orchestrator.simulate.checkers.generations import Generations
from outlast_orchestrator.simulate.checkers.leaks import Leaks
from outlast_orchestrator.simulate.clock import SimClock
from outlast_orchestrator.simulate.history import STORE_RESTORED, Fact, Fault, MachineEnded
from outlast_orchestrator.simulate.runtime import ProcessRuntime
from outlast_orchestrator.simulate.store import MemoryStore

RESTORED = Fault(STORE_RESTORED, "as it was yesterday")


def store() -> MemoryStore:
    clock = SimClock(1)
    return MemoryStore(ProcessRuntime(clock.process("store"), clock.stream("store")), "own")


def test_a_restored_store_is_what_it_was_with_its_owner_and_repeats_its_terms() -> None:
    one = store()
    first = one.lead("a", 60.0)
    assert first is not None
    one.submit(job(), Event(Kind.JOB_SUBMITTED, "submitted", job().id))
    one.commit(first, [progress()], [])
    backup = one.backup()
    one.commit(first, [replace(progress(), state=JobState.RUNNING), attempt(1)], [])
    one.submit(replace(job(), id="j2", name="later"), Event(Kind.JOB_SUBMITTED, "submitted", "j2"))

    assert one.rows().attempts
    rows = one.restore(backup)

    assert one.owner() == "own"
    assert not one.rows().attempts
    assert [found.id for found in one.jobs()] == [job().id]
    assert one.progress() == [replace(progress(), restored=True)]
    assert one.attempts() == []
    assert rows == (job(), replace(progress(), restored=True))
    with pytest.raises((Deposed, StoreError)):
        one.commit(first, [progress()], [])
    second = one.lead("b", 60.0)
    assert second is not None
    assert second.number == first.number + 1
    assert second != first


def test_an_attempt_that_is_taken_over_from_the_pointer_uses_no_number_again() -> None:
    known: list[Fact] = [taken(1), stored(attempt(1)), RESTORED]
    assert told(Generations(), [*known, stored(replace(attempt(1), id="adopted-1"))]) == []
    assert told(Generations(), [*known, stored(replace(attempt(1), id="another"))])


def test_a_job_that_the_restored_store_has_never_heard_of_need_not_end() -> None:
    running = stored(replace(progress(), state=JobState.RUNNING))
    assert told(Finished(), [stored(job()), running], 10.0)
    assert told(Finished(), [stored(job()), running, RESTORED], 10.0) == []
    assert told(Finished(), [stored(job()), running, RESTORED, stored(job()), running], 10.0)


def test_its_machine_has_to_end_all_the_same() -> None:
    running = stored(instance(InstancePhase.READY, id="i-1"), replace(progress(), state=JobState.RUNNING))
    assert told(Leaks(), [launched("i-1"), running], 10.0) == []
    assert told(Leaks(), [launched("i-1"), running, RESTORED], 10.0)
    assert told(Leaks(), [launched("i-1"), running, RESTORED, MachineEnded("i-1", "swept")], 10.0) == []
