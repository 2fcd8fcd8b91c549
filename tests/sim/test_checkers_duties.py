"""As test_checkers.py, for what an attempt owes to those who come after it, and a machine to its record."""

from __future__ import annotations

from dataclasses import replace

from tests.sim.made_up import (
    JOB,
    LAUNCH,
    OFFER,
    POINTER,
    as_manifest,
    commit,
    instance,
    job,
    pointer,
    ref,
    started,
    stored,
    wrote,
)
from tests.sim.telling import Story, told

from outlast.bucket.manifest import manifest_ref
from outlast.protocol.codec import dump
from outlast.protocol.objects import ManifestRef, PointerState
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import Attempt, InstancePhase, Progress
from outlast_orchestrator.simulate.checkers.claim_late import ClaimLate
from outlast_orchestrator.simulate.checkers.crashes import NOT_LOOKED_AFTER, Crashes
from outlast_orchestrator.simulate.checkers.dead_first import DeadFirst
from outlast_orchestrator.simulate.checkers.held import Held
from outlast_orchestrator.simulate.checkers.lease import Lease
from outlast_orchestrator.simulate.checkers.records import Records
from outlast_orchestrator.simulate.checkers.references import References
from outlast_orchestrator.simulate.history import Fact, Fault, MachineEnded, StoreWrote, TrainerEnded, Wrote

A = ref("000000010-g1-aa", 10)
B = ref("000000020-g1-bb", 20, A)
CLAIM = pointer(1, 1)
LEASE_LOST = "neither the controller nor the bucket took a write for the whole lease of 600 s"


def naming(name: str, parent: ManifestRef, of: ManifestRef) -> Wrote:
    """A manifest whose file is an object of another checkpoint."""
    own = as_manifest(ref(name, 30), parent)
    manifest = replace(own, files=as_manifest(of, None).files)
    return Wrote("agent/i-1/1", f"jobs/{JOB}/{manifest_ref(manifest).key}", dump(manifest), None)


def test_references() -> None:
    base = [*commit(A, None), *commit(B, A)]
    assert told(References(), [*base, naming("000000030-g1-cc", B, B)]) == []
    assert "its parent does not name" in told(References(), [*base, naming("000000030-g1-cc", B, A)])[0]


def test_held() -> None:
    plain = pointer(1, 2, kept=(A, B), head=B)
    listed = replace(plain, seq=3, pinned=(A.name,))
    chosen = stored(Progress(JOB, pending_start_from=A, hold=A.name, hold_done=True))
    drains = stored(Attempt(JOB, 1, "a1", 1, 0.0, "test", claimed=True, draining_since=5.0))
    wanted = stored(job())
    wish: list[Fact] = [wanted, wrote(POINTER, plain, CLAIM), chosen]
    assert "is not held" in told(Held(), [*wish, drains])[0]
    assert told(Held(), [*wish, wrote(POINTER, listed, plain), drains]) == []
    over = replace(plain, seq=4, state=PointerState.RELEASED)
    assert told(Held(), [*wish, wrote(POINTER, over, plain), drains]) == []
    gang = Attempt(
        JOB, 1, "a1", 1, 0.0, "", ("l1", "l2"), claimed=True, abandoned=True, noticed=True, draining_since=5.0
    )
    for cause, broken in (("notice", 0), ("node lost", 0), ("restart", 1), ("given up", 1)):
        event = Event(Kind.ATTEMPT_DRAINING, "", JOB, 1, data={"cause": cause})
        assert len(told(Held(), [*wish, StoreWrote("controller/1", (gang,), (event,))])) == broken
    next_one = stored(Attempt(JOB, 2, "a2", 1, 0.0, "test", start_from=A))
    for head, broken in ((A, 0), (B, 1)):
        claim = replace(over, generation=2, writer="w2", seq=5, state=PointerState.RUNNING, head=head)
        assert len(told(Held(), [next_one, wrote(POINTER, claim, over)])) == broken


def test_dead_first() -> None:
    released = wrote(POINTER, pointer(1, 2, state=PointerState.RELEASED), CLAIM)
    assert told(DeadFirst(), [started(1, 0, ""), released])
    dead = TrainerEnded("i-1", JOB, 1, 5, None)
    assert told(DeadFirst(), [started(1, 0, ""), dead, released]) == []
    assert told(DeadFirst(), [started(1, 0, "", "i-2"), released]) == []


def test_claim_late() -> None:
    claim = wrote(POINTER, CLAIM)
    assert told(ClaimLate(lambda machine: machine != "i-1"), [claim])
    assert told(ClaimLate(lambda machine: machine == "i-1"), [claim]) == []
    assert told(ClaimLate(lambda _machine: False), [wrote(POINTER, pointer(1, 2), CLAIM)]) == []


def test_records() -> None:
    ready, booting = instance(InstancePhase.READY), instance(InstancePhase.BOOTING)
    assert told(Records(), [stored(booting), stored(ready)]) == []
    assert "back to booting" in told(Records(), [stored(ready), stored(booting)])[0]
    elsewhere = replace(booting, request=replace(LAUNCH, offer=replace(OFFER, zone="eastb")))
    assert "was changed" in told(Records(), [stored(booting), stored(elsewhere)])[0]
    gone, found = instance(InstancePhase.GONE), instance(InstancePhase.TERMINATING)
    assert told(Records(), [stored(gone), stored(found)]) == []
    assert told(Records(), [stored(ready), Fault("store restored", ""), stored(booting)]) == []


def test_a_machine_is_not_given_up_within_its_lease() -> None:
    end = (1000.0, MachineEnded("i-1", LEASE_LOST))
    assert "was given up" in told(Lease({"i-1": 900.0}), [end])[0]
    assert told(Lease({"i-1": 390.0}), [end]) == []
    # Frozen between its look at the clock and the sending, it counts from before.
    asleep = (395.0, Fault("agent frozen", "", "i-1", 410.0))
    assert told(Lease({"i-1": 412.0}), [asleep, end]) == []
    assert told(Lease({"i-1": 420.0}), [asleep, end])
    assert told(Lease({"i-1": 900.0}), [(1000.0, MachineEnded("i-1", "taken by the market"))]) == []


def test_no_trainer_outlives_its_lease() -> None:
    begin, later = started(1, 0, ""), (1000.0, Fault("time", "passes"))
    assert "still runs" in told(Lease({"i-1": 100.0}), [begin, later])[0]
    assert told(Lease({"i-1": 900.0}), [begin, later]) == []
    assert told(Lease({"i-1": 100.0}), [begin, (700.0, TrainerEnded("i-1", JOB, 1, 5, None)), later]) == []
    frozen: Story = [begin, Fault("agent frozen", "", "i-1", 990.0), later]
    assert told(Lease({"i-1": 100.0}), frozen) == []


def test_a_decision_that_raises_is_a_crash() -> None:
    event = Event(Kind.TELL, f"{NOT_LOOKED_AFTER}: KeyError: 'x'; what runs goes on", JOB)
    assert told(Crashes(), [StoreWrote("controller/1", (), (event,))])
    assert told(Crashes(), [StoreWrote("controller/1", (), (replace(event, why="no machine"),))]) == []
