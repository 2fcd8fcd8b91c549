"""As test_checkers.py, for what controllers may do to machines, and for what people pinned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sim.made_up import (
    BY,
    JOB,
    LAUNCH,
    POINTER,
    commit,
    instance,
    job,
    launched,
    model,
    notice,
    pointer,
    ref,
    started,
    stored,
    wrote,
)
from tests.sim.telling import Story, told

from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import InstancePhase
from outlast_orchestrator.simulate.checkers.dead_man import DeadMan
from outlast_orchestrator.simulate.checkers.double_action import DoubleAction
from outlast_orchestrator.simulate.checkers.healthy import Healthy
from outlast_orchestrator.simulate.checkers.noticed import NoticedLoss
from outlast_orchestrator.simulate.checkers.pinned import Pinned
from outlast_orchestrator.simulate.checkers.read_first import ReadFirst
from outlast_orchestrator.simulate.history import (
    DEADMAN_SAYS,
    FROM_BACKUP,
    STORE_RESTORED,
    AgentBorn,
    Deleted,
    Fact,
    Fault,
    LaunchAsked,
    MachineEnded,
    PointerKnown,
    ProcessDied,
    StoreWrote,
    TerminateAsked,
    TrainerEnded,
    Wrote,
)
from outlast_orchestrator.simulate.network import CONTROLLER, STANDBY

CLAIM = pointer(1, 1)
FIRST, SECOND = f"{CONTROLLER}/1", f"{STANDBY}/1"
ENDS = TerminateAsked("i-1", FIRST)
RESTORED = Fault(STORE_RESTORED, "as it was yesterday")


def leads(process: str) -> StoreWrote:
    return StoreWrote(process, (), (Event(Kind.CONTROLLER_LEADS, "a term begins"),))


@pytest.mark.parametrize(
    "act",
    [
        StoreWrote(FIRST, (instance(InstancePhase.READY),), ()),
        LaunchAsked(LAUNCH, FIRST),
        TerminateAsked("i-1", FIRST),
    ],
)
def test_only_the_leader_acts(act: Fact) -> None:
    assert told(DoubleAction(), [leads(FIRST), act]) == []
    assert "but standby/1 leads" in told(DoubleAction(), [leads(FIRST), leads(SECOND), act])[0]
    assert "but nobody leads" in told(DoubleAction(), [leads(FIRST), RESTORED, act])[0]
    person = StoreWrote("person", (job(),), ())
    assert told(DoubleAction(), [leads(SECOND), person]) == []


def test_no_healthy_machine_is_ended() -> None:
    heard = {"i-1": 900.0}
    begin: Story = [stored(job()), launched("i-1"), (10.0, wrote(POINTER, CLAIM))]
    assert "nobody wished it" in told(Healthy(heard), [*begin, (1000.0, ENDS)])[0]
    assert told(Healthy({"i-1": 100.0}), [*begin, (1000.0, ENDS)]) == []
    late: Story = [stored(job()), launched("i-1"), (900.0, wrote(POINTER, CLAIM)), (1000.0, ENDS)]
    assert told(Healthy({"i-1": 100.0}), late) == []  # its claim was long on the way
    assert told(Healthy({"i-1": 800.0}), late)
    for reason in (
        notice("i-1", 400.0),
        TrainerEnded("i-1", JOB, 1, 5, 1),
        ProcessDied(BY, "killed"),
        stored(job()),  # a person's wish
        wrote(POINTER, replace(pointer(2, 2)), CLAIM, by="agent/i-2/1"),
    ):
        assert told(Healthy(heard), [*begin, reason, (1000.0, ENDS)]) == [], reason
    # Rows that a backup has brought back are nobody's wish, and what befell it before its claim is over.
    again = StoreWrote(FROM_BACKUP, (job(),), ())
    assert told(Healthy(heard), [*begin, again, (1000.0, ENDS)])
    for befell, over in (
        (TrainerEnded("i-1", JOB, 1, 5, 1), True),
        (notice("i-1", None), True),
        (notice("i-1", 1200.0), False),  # it still stands
    ):
        story: Story = [stored(job()), befell, wrote(POINTER, CLAIM), (1000.0, ENDS)]
        assert bool(told(Healthy(heard), story)) is over, befell


def test_an_end_that_was_decided_when_the_lease_was_over_is_repeated() -> None:
    """It was silent beyond its lease when its end was decided; the call got no answer, the node woke and
    wrote, and the call was repeated. A decision that was taken while it could write excuses nothing."""
    begin: Story = [stored(job()), launched("i-1"), (10.0, wrote(POINTER, CLAIM))]
    decided = stored(instance(InstancePhase.TERMINATING, id="i-1"))
    contact = {"i-1": 100.0}

    def wakes(checker: Healthy, *then: tuple[float, Fact]) -> list[str]:
        contact["i-1"] = 990.0
        for at_s, fact in then:
            checker.see(at_s, fact)
        return [one.text for one in checker.violations]

    asleep, awake = Healthy(contact), Healthy(contact)
    assert told(asleep, [*begin, (800.0, decided), (800.0, ENDS)]) == []
    assert wakes(asleep, (1000.0, ENDS), (1000.0, decided), (1010.0, ENDS)) == []
    # The store comes from a backup of before: this decision is not in it any more, so it excuses nothing.
    assert (
        wakes(
            asleep,
            (1020.0, StoreWrote(FROM_BACKUP, (instance(InstancePhase.TERMINATING, id="i-1"),), ())),
            (1030.0, ENDS),
        )
        == []
    )
    assert wakes(
        asleep,
        (1040.0, StoreWrote(FROM_BACKUP, (instance(InstancePhase.READY, id="i-1"),), ())),
        (1050.0, ENDS),
    )
    contact["i-1"] = 100.0
    early: Story = [*begin, (400.0, decided), (800.0, decided)]
    assert told(awake, early) == []
    assert wakes(awake, (1000.0, ENDS))


def test_pointers_are_read_before_anything_is_ended() -> None:
    known = StoreWrote(FROM_BACKUP, (job(),), ())
    begin: Story = [launched("i-1"), RESTORED, known]
    assert "before it had read the pointer" in told(ReadFirst(), [*begin, ENDS])[0]
    assert told(ReadFirst(), [*begin, PointerKnown(FIRST, JOB), ENDS]) == []
    # Its end was decided before the backup was made; what was decided since is not in it.
    doomed = (instance(InstancePhase.TERMINATING),)
    assert told(ReadFirst(), [*begin, StoreWrote(FROM_BACKUP, doomed, ()), ENDS]) == []
    assert told(ReadFirst(), [launched("i-1"), StoreWrote(FIRST, doomed, ()), RESTORED, known, ENDS])
    # Who had read it decided, and died; its successor repeats the call before it has read anything.
    read, decided = PointerKnown(SECOND, JOB), StoreWrote(SECOND, doomed, ())
    assert told(ReadFirst(), [*begin, read, decided, ENDS]) == []
    assert told(ReadFirst(), [*begin, decided, read, ENDS])
    # What another controller has read, or this one of another job, is no reading of this pointer.
    assert told(ReadFirst(), [*begin, PointerKnown(SECOND, JOB), PointerKnown(FIRST, "j2"), ENDS])
    stranger = replace(launched("i-2"), request=replace(LAUNCH, job="lost"))
    end = TerminateAsked("i-2", FIRST)
    assert told(ReadFirst(), [*begin, stranger, end])
    assert told(ReadFirst(), [*begin, stranger, PointerKnown(FIRST, JOB), end]) == []


def test_the_dead_man_switch_is_for_dead_agents() -> None:
    born, off = AgentBorn(BY, "i-1"), MachineEnded("i-1", f"{DEADMAN_SAYS} 930 s")
    assert "is at work" in told(DeadMan(), [born, off])[0]
    assert told(DeadMan(), [born, ProcessDied(BY, "killed"), off]) == []
    assert told(DeadMan(), [born, Fault("agent frozen", "", "i-1", 5000.0), off]) == []
    assert told(DeadMan(), [born, MachineEnded("i-1", "taken"), ProcessDied(BY, "its machine")], 9e4) == []
    assert "still runs" in told(DeadMan(), [born, ProcessDied(BY, "killed")], 9e4)[0]
    later = AgentBorn("agent/i-1/2", "i-1")
    assert told(DeadMan(), [born, ProcessDied(BY, "killed"), later], 9e4) == []


def test_a_pinned_checkpoint_stays() -> None:
    a = ref("000000010-g1-aa", 10)
    b = ref("000000020-g1-bb", 20, a)
    with_pin = replace(pointer(1, 3, head=b, kept=(a, b)), pinned=(a.name,))
    gone = pointer(1, 4, head=b, kept=(b,))
    unlisted = pointer(1, 4, head=b, kept=(a, b))
    wish = Wrote("somebody", f"jobs/{JOB}/pins/{a.name}", b"", None)
    taken_back = Deleted("somebody", f"jobs/{JOB}/pins/{a.name}")
    base: Story = [wish, wrote(POINTER, with_pin, CLAIM)]
    assert "let" in told(Pinned(), [*base, wrote(POINTER, gone, with_pin)])[0]
    assert "no more" in told(Pinned(), [*base, wrote(POINTER, unlisted, with_pin)])[0]
    assert told(Pinned(), [*base, wrote(POINTER, replace(with_pin, seq=4), with_pin)]) == []
    assert told(Pinned(), [*base, taken_back, wrote(POINTER, unlisted, with_pin)]) == []


def test_going_back_to_an_older_checkpoint_is_no_loss() -> None:
    """Nor is what a restart without a final save costs."""

    old, new = ref("000000010-g1-aa", 10), ref("000000025-g1-bb", 25)
    end = TrainerEnded("i-1", JOB, 1, 25, 0)
    begin: Story = [stored(job()), *commit(old, None), started(1, 0, ""), (100.0, notice("i-1", 400.0)), end]
    resumed = started(2, 10, model(10), "i-2")
    before = pointer(1, 3, head=new, kept=(old, new))
    back = wrote(POINTER, pointer(2, 4, head=old, kept=(old, new)), before)
    assert told(NoticedLoss(1000.0), [*begin, resumed])
    assert told(NoticedLoss(1000.0), [*begin, back, resumed]) == []
    hurry = replace(job(), restart=replace(job().restart, number=1, now=True))
    assert told(NoticedLoss(1000.0), [*begin, stored(hurry), resumed]) == []
    # The notice may come in the moment between the wish and the end that it brings about.
    in_between = [*begin[:-2], stored(hurry), *begin[-2:]]
    assert told(NoticedLoss(1000.0), [*in_between, resumed]) == []
