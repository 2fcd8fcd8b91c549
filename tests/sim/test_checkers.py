"""Each checker catches a made-up violation of its invariant, and lets the rightful twin pass."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sim.made_up import (
    JOB,
    POINTER,
    attempt,
    commit,
    job,
    model,
    notice,
    pointer,
    progress,
    ref,
    started,
    status,
    stored,
    taken,
    wrote,
)
from tests.sim.telling import Story, told

from outlast.protocol.messages import AgentState
from outlast.protocol.objects import PointerState
from outlast_orchestrator.simulate.checkers.chain import Chain
from outlast_orchestrator.simulate.checkers.claims import Claims
from outlast_orchestrator.simulate.checkers.closing import Closing
from outlast_orchestrator.simulate.checkers.closure import Closure
from outlast_orchestrator.simulate.checkers.fenced import Fenced
from outlast_orchestrator.simulate.checkers.forward import Forward
from outlast_orchestrator.simulate.checkers.generations import Generations
from outlast_orchestrator.simulate.checkers.noticed import NoticedLoss
from outlast_orchestrator.simulate.checkers.one_way import OneWay
from outlast_orchestrator.simulate.checkers.one_writer import OneWriter
from outlast_orchestrator.simulate.checkers.overwrites import Overwrites
from outlast_orchestrator.simulate.checkers.resume import Resume
from outlast_orchestrator.simulate.checkers.self_fencing import SelfFencing
from outlast_orchestrator.simulate.history import (
    Deleted,
    Fault,
    MachineEnded,
    TrainerEnded,
    Wrote,
)

A = ref("000000010-g1-aa", 10)
B = ref("000000020-g1-bb", 20, A)
CLAIM = pointer(1, 1)
WITH_A = pointer(1, 2, head=A, kept=(A,))
WITH_AB = pointer(1, 3, head=B, kept=(A, B))


# the bucket


def test_closure() -> None:
    whole = commit(A, parent=None)
    assert told(Closure(), [*whole, wrote(POINTER, WITH_A)]) == []
    assert "does not exist" in told(Closure(), [wrote(POINTER, WITH_A)])[0]
    data = f"jobs/{JOB}/checkpoints/{A.name}/model.bin"
    lost = told(Closure(), [*whole, wrote(POINTER, WITH_A), Deleted("w", data)])
    assert "still needs" in lost[0]
    assert "came before its object" in told(Closure(), [whole[-1]])[0]


def test_one_writer() -> None:
    other = replace(pointer(1, 2), writer="other")
    assert told(OneWriter(), [wrote(POINTER, CLAIM), wrote(POINTER, pointer(1, 2), CLAIM)]) == []
    assert told(OneWriter(), [wrote(POINTER, CLAIM), wrote(POINTER, other, CLAIM)])
    elsewhere = wrote(POINTER, pointer(1, 2), CLAIM, by="agent/i-2/1")
    assert told(OneWriter(), [wrote(POINTER, CLAIM), elsewhere])


def test_generations() -> None:
    assert told(Generations(), [taken(1), stored(attempt(1)), wrote(POINTER, CLAIM)]) == []
    assert told(Generations(), [wrote(POINTER, CLAIM)])
    assert told(Generations(), [taken(1), stored(attempt(1)), stored(replace(attempt(1), id="another"))])
    assert told(Generations(), [stored(attempt(1))])
    assert told(Generations(), [taken(1), Deleted("w", f"jobs/{JOB}/generations/1")])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (WITH_A, pointer(1, 2)),  # the same seq again
        (WITH_A, pointer(1, 4)),  # one left out
        (pointer(2, 2), pointer(1, 3)),
        (pointer(1, 2, state=PointerState.RELEASED), pointer(1, 3)),
        (pointer(1, 2), pointer(2, 3, state=PointerState.RELEASED)),
    ],
)
def test_forward(before: object, after: object) -> None:
    assert told(Forward(), [wrote(POINTER, after, before)])
    assert told(Forward(), [wrote(POINTER, CLAIM), wrote(POINTER, WITH_A, CLAIM)]) == []
    assert told(Forward(), [Deleted("w", POINTER)])


def test_chain() -> None:
    first, second = commit(A, None), commit(B, A)
    right = [*first, wrote(POINTER, WITH_A, CLAIM), *second, wrote(POINTER, WITH_AB, WITH_A)]
    assert told(Chain(), right) == []
    orphan = [*commit(B, None), wrote(POINTER, WITH_AB, WITH_A)]
    assert "has parent none" in told(Chain(), orphan)[0]
    assert told(Chain(), [wrote(POINTER, pointer(1, 3), WITH_A)])
    foreign = pointer(2, 3, head=B, kept=(A, B))
    assert "which was not kept" in told(Chain(), [wrote(POINTER, foreign, WITH_A)])[0]


def test_one_way() -> None:
    gone = pointer(1, 4, head=B, kept=(B,))
    back = pointer(1, 5, head=B, kept=(A, B))
    assert told(OneWay(), [wrote(POINTER, gone, WITH_AB)]) == []
    found = told(OneWay(), [wrote(POINTER, gone, WITH_AB), wrote(POINTER, back, gone)])
    assert f"lists {A.name} again" in found[0]
    assert told(OneWay(), [wrote(POINTER, replace(WITH_A, pinned=("000000001-g1-cc",)), CLAIM)])


def test_overwrites() -> None:
    key = f"jobs/{JOB}/checkpoints/x/model.bin"
    assert told(Overwrites(), [Wrote("w", key, b"1", None), Deleted("w", key)]) == []
    assert told(Overwrites(), [Wrote("w", key, b"1", None), Wrote("w", key, b"1", b"1")])
    assert told(Overwrites(), [Wrote("w", key, b"1", None), Deleted("w", key), Wrote("w", key, b"2", None)])
    late: Story = [Wrote("w", key, b"1", None), Deleted("w", key), Wrote("w", key, b"1", None)]
    assert told(Overwrites(), late) == []


def test_claims() -> None:
    over = wrote(POINTER, pointer(2, 2), CLAIM)
    assert told(Claims(), [over])
    closed = stored(replace(progress(), closed=((1, CLAIM.writer),)))
    assert told(Claims(), [closed, over]) == []
    assert told(Claims(), [stored(replace(progress(), closed=((1, "another"),))), over])
    released = pointer(1, 1, state=PointerState.RELEASED)
    assert told(Claims(), [wrote(POINTER, pointer(2, 2), released)]) == []
    ended = replace(pointer(1, 1, state=PointerState.ENDED), exit_code=0)
    end, again = wrote(POINTER, ended), wrote(POINTER, pointer(2, 2), ended)
    assert told(Claims(), [end, again])
    free = replace(attempt(2), permission_over_ended=ended.writer)
    assert told(Claims(), [end, stored(job(), free), again]) == []
    assert told(Claims(), [end, stored(free), again])
    assert told(Claims(), [end, stored(job(), replace(free, permission_over_ended="w0")), again])


# attempts


def test_resume() -> None:
    claim = pointer(2, 3, head=A, kept=(A,))
    base = [*commit(A, None), wrote(POINTER, claim, WITH_A)]
    assert told(Resume(), [*base, started(2, 10, model(10))]) == []
    assert "content is on no chain" in told(Resume(), [*base, started(2, 10, model(11))])[0]
    assert "started at 0" in told(Resume(), [*base, started(2, 0, "")])[0]
    assert "without having claimed" in told(Resume(), [*base, started(3, 10, model(10))])[0]


def test_resume_from_the_newest() -> None:
    claim = pointer(2, 3, head=B, kept=(A, B))
    base = [*commit(A, None), *commit(B, A), wrote(POINTER, claim, WITH_AB)]
    assert told(Resume(), [*base, started(2, 20, model(20))]) == []
    assert "head of its claim is whole" in told(Resume(), [*base, started(2, 10, model(10))])[0]
    # A first claim in a bucket that has lost its pointer: what was durable is still known.
    anew: Story = [*base, wrote(POINTER, pointer(3, 1)), started(3, 0, "")]
    assert f"although {B.name} was durable" in told(Resume(), anew)[0]
    superseded: Story = [*base, wrote(POINTER, pointer(3, 4, head=B, kept=(B,)), claim), started(2, 0, "")]
    assert told(Resume(), superseded) == []


def test_closing() -> None:
    closed = stored(replace(progress(), closed=((1, CLAIM.writer),)))
    claim = (0.0, wrote(POINTER, CLAIM))
    assert told(Closing({"i-1": 900.0}), [claim, (1000.0, closed)])
    assert told(Closing({"i-1": 100.0}), [claim, (1000.0, closed)]) == []
    assert told(Closing({"i-1": 900.0}), [claim, MachineEnded("i-1", "taken"), (1000.0, closed)]) == []
    late = (1010.0, wrote(POINTER, CLAIM))
    assert told(Closing({"i-1": 1009.0}), [(1000.0, closed), late])
    assert told(Closing({"i-1": 1009.0}), [(1000.0, closed), MachineEnded("i-1", "taken"), late]) == []


def test_fenced() -> None:
    story: Story = [
        wrote(POINTER, CLAIM),
        started(1, 0, ""),
        (100.0, wrote(POINTER, pointer(2, 2), CLAIM)),
        (200.0, Fault("time", "passes")),
    ]
    assert told(Fenced(lambda _machine: 0.0), story)
    assert told(Fenced(lambda _machine: 150.0), story) == []
    dead = TrainerEnded("i-1", JOB, 1, 5, None)
    assert told(Fenced(lambda _machine: 0.0), [*story[:3], (150.0, dead), story[3]]) == []


def test_noticed_loss() -> None:
    end = TrainerEnded("i-1", JOB, 1, 25, 0)
    base: Story = [stored(job()), started(1, 10, model(10)), (100.0, notice("i-1", 400.0))]
    assert told(NoticedLoss(1000.0), [*base, end, started(2, 20, model(20), "i-2")])
    assert told(NoticedLoss(1000.0), [*base, end, started(2, 25, model(25), "i-2")]) == []
    short = [*base[:2], (100.0, notice("i-1", 110.0)), end, started(2, 20, model(20), "i-2")]
    assert told(NoticedLoss(1000.0), short) == []
    disturbed = [*base, Fault("agent killed", "", "i-1"), end, started(2, 20, model(20), "i-2")]
    assert told(NoticedLoss(1000.0), disturbed) == []


def test_self_fencing() -> None:
    says = status(AgentState.FENCED, CLAIM.writer)
    assert told(SelfFencing(), [wrote(POINTER, CLAIM), says])
    assert told(SelfFencing(), [wrote(POINTER, CLAIM), wrote(POINTER, pointer(2, 2), CLAIM), says]) == []
