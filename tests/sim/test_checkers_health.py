"""As test_checkers.py, for the health of saves; and how a simulated training loses its state."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sim.made_up import (
    JOB,
    POINTER,
    PROFILE,
    as_manifest,
    attempt,
    job,
    notice,
    pointer,
    ref,
    started,
    stored,
    wrote,
)
from tests.sim.telling import Story, told

from outlast.bucket.manifest import manifest_ref
from outlast.cadence import QUARANTINED_MAX
from outlast.node_ports import SaveLook
from outlast.protocol.codec import dump
from outlast.protocol.objects import UNHEALTHY, PointerState
from outlast_orchestrator.core.relaunch import UNHEALTHY_MAX
from outlast_orchestrator.core.types import Attempt, AttemptPhase, JobState, Progress
from outlast_orchestrator.simulate.checkers.cause import Cause
from outlast_orchestrator.simulate.checkers.finished import Finished
from outlast_orchestrator.simulate.checkers.health import TRAINS_ON_S, Health
from outlast_orchestrator.simulate.checkers.noticed import NoticedLoss
from outlast_orchestrator.simulate.clock import SimClock
from outlast_orchestrator.simulate.disk import NodeDisk, SimSaves
from outlast_orchestrator.simulate.history import (
    STORE_RESTORED,
    Fact,
    Fault,
    TrainerEnded,
    TrainerSaved,
    Wrote,
)
from outlast_orchestrator.simulate.sickness import BAD, Sickness
from outlast_orchestrator.simulate.trainer import checkpoint_files

A = ref("000000010-g1-aa", 10)


def judge(able_since_s: float = 0.0) -> Health:
    return Health(lambda _machine: able_since_s)


def saved(step: int, *, bad: bool = True) -> TrainerSaved:
    return TrainerSaved("i-1", JOB, 1, step, False, bad)


def ended(*, bad: bool = True) -> TrainerEnded:
    return TrainerEnded("i-1", JOB, 1, 50, None, bad=bad)


ROW: list[tuple[float, Fact]] = [(100.0 + n, saved(n)) for n in range(QUARANTINED_MAX)]


def test_a_trainer_with_a_lost_state_is_ended_soon() -> None:
    in_time, late = 100.0 + TRAINS_ON_S, 200.0 + TRAINS_ON_S
    assert told(judge(), [*ROW, (in_time, ended())]) == []
    assert "trained on" in told(judge(), [*ROW, (late, ended())])[0]
    assert told(judge(), [*ROW, (late, saved(9))])
    assert told(judge(), ROW, late)
    assert told(judge(), [*ROW[1:], (late, ended())]) == []
    assert told(judge(), [*ROW[:2], (150.0, saved(7, bad=False)), (160.0, saved(8)), (late, ended())]) == []
    assert told(judge(101.0), [*ROW, (late, ended())]) == []  # its agent stood still meanwhile
    assert told(judge(), [*ROW, (200.0, started(2, 0, "")), (late, ended())]) == []


def test_a_lost_state_is_neither_committed_nor_resumed_from() -> None:
    manifest = as_manifest(A, None)
    body = checkpoint_files(PROFILE, 10, BAD)["model.bin"]
    key = f"jobs/{JOB}/{manifest_ref(manifest).key}"
    data = f"jobs/{JOB}/checkpoints/{A.name}/model.bin"
    commit = [Wrote("agent/i-1/1", data, body, None), Wrote("agent/i-1/1", key, dump(manifest), None)]
    assert "whose state is lost" in told(judge(), commit)[0]
    assert told(judge(), commit[1:]) == []
    assert "resumed from a lost state" in told(judge(), [started(2, 10, BAD)])[0]


def test_a_job_that_loses_its_state_again_and_again_is_not_repeated_for_ever() -> None:
    def lost(generation: int, head: str = A.name) -> Wrote:
        at = replace(A, key=f"manifests/{head}.json")
        over = replace(pointer(generation, 2, head=at, state=PointerState.RELEASED), why=f"{UNHEALTHY}: 3")
        return wrote(POINTER, over, pointer(generation, 1))

    twice: list[Fact] = [lost(generation) for generation in range(UNHEALTHY_MAX)]
    assert told(judge(), twice) == []
    assert "have lost their state" in told(judge(), [*twice, lost(9)])[0]
    assert told(judge(), [*twice, lost(9, "000000020-g2-bb")]) == []
    assert told(judge(), [*twice, stored(job()), lost(9)]) == []
    assert told(judge(), [*twice, Fault(STORE_RESTORED, ""), lost(9)]) == []
    given_up = replace(attempt(9), phase=AttemptPhase.CLOSED)
    assert told(judge(), [*twice, stored(given_up), lost(9)]) == [], "it was lost before it could say so"
    assert told(judge(), [*twice, stored(given_up), stored(attempt(9)), lost(9)])
    noticed = wrote(POINTER, pointer(9, 2, head=A, state=PointerState.RELEASED), pointer(9, 1))
    assert told(judge(), [*twice, noticed]) == []


def test_a_lost_state_is_a_cause_and_a_reason_to_fail() -> None:
    failed = stored(Progress(JOB, JobState.FAILED, "its saves are unhealthy"))
    assert told(Finished(), [stored(job()), ended(), failed], 10.0) == []
    assert told(Finished(), [stored(job()), ended(bad=False), failed], 10.0)

    def planned(*between: Fact) -> list[str]:
        over = replace(Attempt(JOB, 1, "a1", 1, 0.0, "test", ("l1",)), claimed=True)
        story: Story = [stored(job()), stored(over), *between, stored(replace(over, generation=2))]
        return told(Cause({"i-1": 1e9}, {}), story)

    assert planned()
    assert planned(ended(bad=False))
    assert planned(ended()) == []


def test_steps_that_are_lost_with_the_state_are_no_loss_of_a_notice() -> None:
    begin: list[Fact] = [stored(job()), started(1, 0, ""), notice("i-1", 1000.0)]
    lost, again = TrainerEnded("i-1", JOB, 1, 2, 0), started(2, 0, "", "i-2")
    assert "steps were lost" in told(NoticedLoss(1e6), [*begin, lost, again])[0]
    assert told(NoticedLoss(1e6), [*begin, replace(lost, bad=True), again]) == []
    assert told(NoticedLoss(1e6), [*begin, saved(2), lost, again]) == []


def test_a_poisoned_job_loses_its_state_on_every_machine_and_a_lost_one_only_until_its_trainer_ends() -> None:
    poisons: dict[str, int] = {}
    one, other = Sickness(poisons), Sickness(poisons)
    assert one.after(JOB, 1, "s1") == "s1"
    one.lost = True
    assert [one.after(JOB, 2, "s2"), other.after(JOB, 2, "s2")] == [BAD, "s2"]
    one.begin("s1")
    assert one.after(JOB, 2, "s2") == "s2"
    poisons[JOB] = 3
    assert [each.after(JOB, 3, "s3") for each in (one, other)] == [BAD, BAD]
    other.spoils = True
    assert [other.saved("s"), other.saved("s")] == [BAD, "s"]


@pytest.mark.parametrize(
    ("bad", "taken", "refused"), [((5,), 4, [5]), ((3, 4, 5), 2, [3, 4, 5]), ((), 5, [])]
)
def test_the_simulated_gate_refuses_as_the_real_one(
    bad: tuple[int, ...], taken: int, refused: list[int]
) -> None:
    disk = NodeDisk()
    saves = SimSaves(SimClock(1), disk)
    for step in range(1, 6):
        disk.saved(step, checkpoint_files(PROFILE, step, BAD if step in bad else "good"))
    seen = saves.scan(SaveLook())
    assert seen.copy is not None
    assert seen.copy.step == taken
    assert [one.step for one in seen.quarantined] == refused
    assert saves.scan(SaveLook()).copy is None
