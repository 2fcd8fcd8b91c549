"""`retry.hold_on_failure`: the machine of a job that failed is left on for a while, for a person to look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.core.build import JOB, after, attempt, decided, heard, lost, machine, pointer, running, seen
from tests.core.test_launch import answered
from tests.core.test_life import crashed

from outlast.protocol.messages import AgentState
from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.types import InstancePhase, Job, JobState, Wanted
from outlast_orchestrator.core.view import JobView

HOLD_S = 1800.0
HELD = replace(JOB, work=replace(JOB.work, hold_s=HOLD_S))


def failed(job: Job = HELD, **more: Any) -> JobView:
    """Its trainer crashed once too often."""
    _, values = crashed(**more)
    start = running(job=job, **values)
    spent = replace(start.progress, failures=3, fruitless=1)
    stopped = after(replace(start, progress=spent))
    assert stopped.progress.state is JobState.FAILED
    return stopped


def phase(view: JobView) -> InstancePhase:
    return view.instances[0].record.phase


def test_it_is_left_on_for_so_long_and_no_longer() -> None:
    stopped = failed()
    assert phase(stopped) is InstancePhase.READY
    assert "its machine is left on for 30 min: `outlast ssh job`" in stopped.progress.why
    since = stopped.progress.since
    assert phase(after(replace(stopped, now_at=since + HOLD_S - 1.0))) is InstancePhase.READY
    assert phase(after(replace(stopped, now_at=since + HOLD_S))) is InstancePhase.TERMINATING


def test_the_end_of_the_hold_is_not_slept_through() -> None:
    stopped = failed()
    near_its_end = replace(stopped, now_at=stopped.progress.since + HOLD_S - 5.0)
    wake_s = decided(near_its_end).wake_s
    assert wake_s is not None
    assert wake_s - near_its_end.now_s <= 5.0


def test_without_it_nothing_is_paid_for_a_failed_job() -> None:
    stopped = failed(JOB)
    assert phase(stopped) is InstancePhase.TERMINATING
    assert "left on" not in stopped.progress.why


@pytest.mark.parametrize("wanted", [Wanted.CANCELLED, Wanted.PAUSED])
def test_a_person_who_is_done_with_it_ends_it_at_once(wanted: Wanted) -> None:
    stopped = failed()
    over = replace(stopped, job=replace(HELD, wanted=wanted, wanted_number=1, wanted_by="by ann"))
    assert phase(after(over)) is InstancePhase.TERMINATING


def test_resumed_it_goes_on_there() -> None:
    stopped = failed()
    again = after(replace(stopped, job=replace(HELD, wanted_number=1, wanted_by="resumed by ann")))
    taken = after(replace(again, done=answered(2)))
    assert taken.attempts[-1].launches == ("m1",)


def test_a_job_that_succeeds_keeps_nothing() -> None:
    values: dict[str, Any] = {
        "instances": (machine("m1", heard("m1", 1, AgentState.ENDED)),),
        "pointer_": pointer(1, PointerState.ENDED, exit_code=0),
        "attempts": (attempt(1, "m1", start_step=100),),
    }
    done = after(running(job=HELD, **values))
    assert done.progress.state is JobState.SUCCEEDED
    assert phase(done) is InstancePhase.TERMINATING


def test_a_machine_that_is_about_to_be_taken_is_not_held() -> None:
    stopped = failed()
    noticed = replace(stopped.instances[0], seen=seen("m1", interrupting=True))
    assert phase(after(replace(stopped, instances=(noticed,)))) is InstancePhase.TERMINATING


def test_another_machine_of_the_job_is_not_held() -> None:
    stopped = failed()
    other = machine("m2", heard("m2", 1, AgentState.RELEASED))
    found = after(replace(stopped, instances=(*stopped.instances, other)))
    phases = {one.record.launch_id: one.record.phase for one in found.instances}
    assert phases == {"m1": InstancePhase.READY, "m2": InstancePhase.TERMINATING}


def test_a_lost_machine_is_buried_as_ever() -> None:
    stopped = failed()
    assert after(replace(stopped, instances=(lost("m1", 1),))).instances == ()
