"""As test_checkers.py, for the checkers of machines and jobs."""

from __future__ import annotations

from dataclasses import replace

from tests.sim.made_up import (
    JOB,
    LAUNCH,
    POINTER,
    attempt,
    instance,
    job,
    launched,
    notice,
    pointer,
    progress,
    saved,
    started,
    stored,
    wrote,
)
from tests.sim.telling import Story, told

from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.types import AttemptPhase, InstancePhase, JobState, Wanted
from outlast_orchestrator.simulate.checkers.cause import Cause
from outlast_orchestrator.simulate.checkers.crashes import Crashes
from outlast_orchestrator.simulate.checkers.finished import Finished
from outlast_orchestrator.simulate.checkers.gone import GoneIsGone
from outlast_orchestrator.simulate.checkers.intent import Intent
from outlast_orchestrator.simulate.checkers.leaks import Leaks
from outlast_orchestrator.simulate.checkers.succeeded import Succeeded
from outlast_orchestrator.simulate.checkers.uncertain import Uncertain
from outlast_orchestrator.simulate.history import (
    FROM_BACKUP,
    STORE_RESTORED,
    Fact,
    Fault,
    LaunchAnswered,
    LaunchAsked,
    Launched,
    Listed,
    MachineEnded,
    ProcessDied,
    StoreWrote,
    TrainerEnded,
    Wrote,
)
from outlast_orchestrator.simulate.trainer import final_state

CLAIM = pointer(1, 1)


def test_gone() -> None:
    gone = stored(instance(InstancePhase.GONE))
    assert told(GoneIsGone(), [launched("i-1"), gone])
    assert told(GoneIsGone(), [launched("i-1"), MachineEnded("i-1", "taken"), gone]) == []
    named = stored(instance(InstancePhase.GONE, id="i-1"))
    assert told(GoneIsGone(), [launched("i-1"), named])
    from_backup = StoreWrote(FROM_BACKUP, (instance(InstancePhase.GONE),), ())
    assert told(GoneIsGone(), [launched("i-1"), from_backup]) == []


def test_gone_of_two_machines() -> None:
    """The record of the first says nothing of the second, if that is of the same token."""
    first: Story = [launched("i-1"), launched("i-2"), MachineEnded("i-1", "taken")]
    assert told(GoneIsGone(), [*first, stored(instance(InstancePhase.GONE, id="i-1"))]) == []
    assert told(GoneIsGone(), [*first, stored(instance(InstancePhase.GONE, id="i-2"))])
    assert told(GoneIsGone(), [*first, stored(instance(InstancePhase.GONE))])
    tried = Launched("i-2", replace(LAUNCH, token="l1-2"))
    again: Story = [launched("i-1"), tried, MachineEnded("i-1", "taken")]
    assert told(GoneIsGone(), [*again, stored(instance(InstancePhase.GONE, id="i-1"))])
    assert told(Leaks(), [*first, stored(instance(InstancePhase.GONE, id="i-1"))], 10.0)


def test_leaks() -> None:
    running = stored(instance(InstancePhase.READY, id="i-1"), replace(progress(), state=JobState.RUNNING))
    over = stored(replace(progress(), state=JobState.SUCCEEDED))
    assert told(Leaks(), [launched("i-1"), running], 10.0) == []
    assert told(Leaks(), [launched("i-1")], 10.0)
    assert told(Leaks(), [launched("i-1"), running, over], 10.0)
    assert told(Leaks(), [launched("i-1"), launched("i-2"), running], 10.0)


def test_uncertain() -> None:
    second = replace(LAUNCH, token="l1-2")
    unsure: list[Fact] = [LaunchAsked(LAUNCH), LaunchAnswered("l1-1", "unsure")]
    assert told(Uncertain(), [*unsure, LaunchAsked(second)])
    assert told(Uncertain(), [*unsure, Listed("east", ("i-1",), ("l1-1",)), LaunchAsked(second)]) == []
    refused: list[Fact] = [LaunchAsked(LAUNCH), LaunchAnswered("l1-1", "refused"), LaunchAsked(second)]
    assert told(Uncertain(), refused) == []
    assert told(Uncertain(), [LaunchAsked(LAUNCH), LaunchAsked(replace(LAUNCH, disk_gb=7))])
    assert told(Uncertain(), [(0.0, LaunchAsked(LAUNCH)), (5000.0, LaunchAsked(LAUNCH))])


def test_a_token_that_only_seems_young_may_be_sent_after_a_look() -> None:
    first, look = (0.0, LaunchAsked(LAUNCH, "c1")), (4000.0, Listed("east", (), (), "c2"))
    again = (4100.0, LaunchAsked(LAUNCH, "c2", -3600.0))
    assert told(Uncertain(), [first, look, again]) == []
    assert told(Uncertain(), [first, again])
    assert told(Uncertain(), [first, look, (4100.0, LaunchAsked(LAUNCH, "c2"))])
    assert told(Uncertain(), [first, look, (8000.0, LaunchAsked(LAUNCH, "c2", -3600.0))])
    assert told(Uncertain(), [first, launched("i-1"), look, again])
    assert told(Uncertain(), [first, (4000.0, Listed("east", (), (), "c1")), again])


def test_intent() -> None:
    assert told(Intent(), [LaunchAsked(LAUNCH)])
    assert told(Intent(), [stored(instance(InstancePhase.LAUNCHING)), LaunchAsked(LAUNCH)]) == []


def test_cause() -> None:
    first, second = stored(attempt(1)), stored(attempt(2))
    begin: Story = [stored(job()), launched("i-1"), first]
    assert told(Cause({"i-1": 50.0}, {}), [*begin, second])
    assert told(Cause({"i-1": 50.0}, {}), [*begin, MachineEnded("i-1", "taken"), second]) == []
    assert told(Cause({"i-1": 50.0}, {}), [*begin, (5000.0, second)]) == []


def test_an_attempt_that_was_sent_away_leaves_the_cause_to_the_next() -> None:
    """A notice was withdrawn after the trainer had left for it; the replacement had been sent away."""
    left = TrainerEnded("i-1", JOB, 1, 5, 0)
    begin: Story = [stored(job()), launched("i-1"), stored(attempt(1)), notice("i-1", 400.0), left]
    away = replace(attempt(2), phase=AttemptPhase.CLOSED)
    heard = {"i-1": 50.0}
    story: Story = [*begin, (100.0, stored(attempt(2))), stored(away)]
    assert told(Cause(heard, {}), [*story, stored(attempt(3))]) == []
    assert told(Cause(heard, {}), [*story[:-1], stored(attempt(3))])
    assert told(Cause(heard, {}), [*story, started(1, 5, ""), stored(attempt(3))])


def test_who_was_silent_when_its_attempt_was_closed_may_have_woken_since() -> None:
    begin: Story = [stored(job()), launched("i-1"), stored(attempt(1))]
    closed, contact = stored(replace(attempt(1), phase=AttemptPhase.CLOSED)), {"i-1": 50.0}
    checker = Cause(contact, {})
    assert told(checker, [*begin, (700.0, closed)]) == []
    contact["i-1"] = 701.0
    checker.see(702.0, stored(attempt(2)))
    assert checker.violations == []
    awake = Cause({"i-1": 690.0}, {})
    assert told(awake, [*begin, (700.0, closed), (702.0, stored(attempt(2)))])


def test_a_machine_that_never_came_to_be_is_a_cause_for_the_attempt_that_waits_for_it() -> None:
    gone = instance(InstancePhase.GONE)
    waits, second = stored(replace(attempt(1), launches=("l1",))), stored(attempt(2))
    assert told(Cause({}, {}), [stored(job()), waits, stored(gone), second]) == []
    there: Story = [stored(job()), launched("i-1"), waits, stored(gone), second]
    assert told(Cause({"i-1": 50.0}, {}), there)
    # It was refused, or another machine is launched for this attempt: the attempt goes on.
    assert told(Cause({}, {}), [stored(job()), waits, stored(gone, attempt(1)), second])


def test_a_node_that_no_controller_can_hear_is_a_cause_although_it_writes() -> None:
    """It was cut off before it was told of its attempt; its idle status keeps only its own lease."""
    begin: Story = [stored(job()), launched("i-1"), stored(attempt(1))]
    idle = Wrote("agent/i-1/1", f"jobs/{JOB}/status/idle-l1.json", b"{}", None)
    of_attempt = Wrote("agent/i-1/1", f"jobs/{JOB}/status/g1-r0.json", b"{}", None)
    second = (1000.0, stored(attempt(2)))
    heard = {"i-1": 990.0}
    assert told(Cause(heard, {"i-1": 300.0}), [*begin, (990.0, idle), second]) == []
    assert told(Cause(heard, {"i-1": 500.0}), [*begin, (990.0, idle), second])
    assert told(Cause(heard, {"i-1": 300.0}), [*begin, (990.0, of_attempt), second])
    assert told(Cause(heard, {"i-1": 300.0}), [*begin, (980.0, of_attempt), (990.0, idle), second])


# jobs


def test_succeeded() -> None:
    done = TrainerEnded("i-1", JOB, 1, 3, 0, done=True)
    right, wrong = saved(final_state(JOB, 3)), saved("something else")
    ended = wrote(POINTER, replace(pointer(1, 2, state=PointerState.ENDED), exit_code=0), CLAIM)
    over = stored(replace(progress(), state=JobState.SUCCEEDED))
    assert told(Succeeded(), [stored(job()), done, *right, ended, over], 10.0) == []
    assert told(Succeeded(), [stored(job()), *right, over])
    assert told(Succeeded(), [stored(job()), done, over])
    assert told(Succeeded(), [stored(job()), done, *wrong, ended])
    assert told(Succeeded(), [stored(job()), done, *right, ended], 10.0)


def test_an_end_that_arrives_after_the_cancelling() -> None:
    """It counts again when the job is wanted again; one that was there before must have been seen."""
    done = TrainerEnded("i-1", JOB, 1, 3, 0, done=True)
    story: Story = [stored(job()), done, *saved(final_state(JOB, 3))]
    ended = wrote(POINTER, replace(pointer(1, 2, state=PointerState.ENDED), exit_code=0), CLAIM)
    cancelled = stored(replace(progress(), state=JobState.CANCELLED))
    again = stored(replace(progress(), state=JobState.RECOVERING))
    assert told(Succeeded(), [*story, cancelled, ended], 10.0) == []
    assert told(Succeeded(), [*story, ended, cancelled], 10.0)
    assert told(Succeeded(), [*story, cancelled, ended, again], 10.0)
    assert told(Succeeded(), [*story, cancelled, ended, again, cancelled], 10.0)
    # A store that comes back from that time knows neither the later wish nor the end.
    old = (job(), replace(progress(), state=JobState.CANCELLED))
    lost: Story = [Fault(STORE_RESTORED, ""), StoreWrote(FROM_BACKUP, old, ())]
    assert told(Succeeded(), [*story, cancelled, again, ended, *lost], 10.0) == []
    assert told(Succeeded(), [*story, cancelled, again, ended, *lost, again], 10.0)
    # A restart that was asked for goes over the end; then the person thinks better of it.
    over = replace(progress(), state=JobState.RECOVERING, pending_over_ended=pointer(1, 2).writer)
    restarted = stored(over)
    assert told(Succeeded(), [*story, ended, restarted, cancelled], 10.0) == []
    assert told(Succeeded(), [*story, restarted, ended, cancelled], 10.0)


def test_finished() -> None:
    assert told(Finished(), [stored(job()), stored(replace(progress(), state=JobState.RUNNING))], 10.0)
    assert (
        told(Finished(), [stored(job()), stored(replace(progress(), state=JobState.SUCCEEDED))], 10.0) == []
    )
    paused = replace(job(), wanted=Wanted.PAUSED)
    assert told(Finished(), [stored(paused), stored(replace(progress(), state=JobState.PAUSED))], 10.0) == []
    failed = stored(replace(progress(), state=JobState.FAILED))
    assert told(Finished(), [stored(job()), failed])
    assert told(Finished(), [stored(job()), TrainerEnded("i-1", JOB, 1, 5, 1), failed], 10.0) == []


def test_crashes() -> None:
    assert told(Crashes(), [ProcessDied("agent/i-1/1", "killed by the plan")]) == []
    assert told(Crashes(), [ProcessDied("agent/i-1/1", "KeyError in main", "KeyError: 'x'")])
