"""As test_checkers.py, for gangs: parts, readiness, half gangs, notices."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.sim.made_up import BY, JOB, LAUNCH, POINTER, PROFILE, model, pointer, wrote
from tests.sim.telling import told

from outlast.bucket.manifest import hash_bytes, manifest_ref
from outlast.protocol.codec import dump
from outlast.protocol.messages import Work
from outlast.protocol.objects import Confidence, FileEntry, Manifest
from outlast_orchestrator.core.types import Attempt, Job, RetryPlan, Want
from outlast_orchestrator.simulate.checkers.gang_noticed import GangNoticedLoss
from outlast_orchestrator.simulate.checkers.gang_ready import GangReady
from outlast_orchestrator.simulate.checkers.gang_whole import GangWhole
from outlast_orchestrator.simulate.checkers.half_gang import HalfGang
from outlast_orchestrator.simulate.history import (
    Fact,
    Fault,
    Launched,
    MachineEnded,
    Noticed,
    StoreWrote,
    TrainerEnded,
    TrainerStarted,
    Wrote,
)
from outlast_orchestrator.simulate.trainer import checkpoint_files

WORK = Work(name=JOB, owner="own", revision=1, run=PROFILE.command())
GANG = Job(JOB, JOB, "own", 0.0, 1, Want(), WORK, RetryPlan(), "sim://b", nodes=2)
ATTEMPT = Attempt(JOB, 1, "a1", 1, 0.0, "test", ("l1", "l2"))
MACHINES: list[Fact] = [
    Launched("i-1", LAUNCH),
    Launched("i-2", replace(LAUNCH, token="l2-1", launch_id="l2")),
]


def rows(*kept: Job | Attempt) -> StoreWrote:
    return StoreWrote("controller/1", kept, ())


def saved(*parts: int, step: int = 2, old: int = 2) -> list[Fact]:
    """A checkpoint with the parts of these nodes; node 1 has that of step `old`."""
    files = {"model.bin": checkpoint_files(PROFILE, step, model(step))["model.bin"]}
    for rank in parts:
        at = old if rank == 1 else step
        files[f"part-{rank}.bin"] = json.dumps({"step": at, "state": model(at)}).encode()
    name = f"{step:09d}-g1-aa"
    keys = {path: f"checkpoints/{name}/{path}" for path in files}
    entries = tuple(FileEntry(p, keys[p], len(b), hash_bytes(b)) for p, b in files.items())
    manifest = Manifest(1, "own", JOB, 1, "a1", name, step, "", 2, "simulated", Confidence.STRONG, entries)
    key = f"jobs/{JOB}/{manifest_ref(manifest).key}"
    data: list[Fact] = [Wrote(BY, f"jobs/{JOB}/{keys[p]}", b, None) for p, b in files.items()]
    return [*data, Wrote(BY, key, dump(manifest), None)]


def test_gang_whole() -> None:
    assert not told(GangWhole(), [rows(GANG), *saved(0, 1)])
    assert "part of node 1" in told(GangWhole(), [rows(GANG), *saved(0)])[0]
    assert told(GangWhole(), [rows(GANG), *saved(0, 1, old=1)])
    first = replace(GANG, work=replace(WORK, checkpoint=replace(WORK.checkpoint, parts="first-node")))
    assert not told(GangWhole(), [rows(first), *saved()])


def test_gang_ready() -> None:
    claim = wrote(POINTER, pointer(1, 1))
    ready, late = {"i-1": 1, "i-2": 1}, {"i-1": 1}
    told_all = [rows(ATTEMPT), *MACHINES]
    assert not told(GangReady(lambda m: ready.get(m, 0)), [*told_all, claim])
    assert told(GangReady(lambda m: late.get(m, 0)), [*told_all, claim])
    lost = MachineEnded("i-2", "taken")
    assert not told(GangReady(lambda m: late.get(m, 0)), [*told_all, lost, claim])
    assert told(GangReady(lambda _m: 1), [rows(ATTEMPT), MACHINES[0], claim])


def test_half_gang() -> None:
    half = [rows(ATTEMPT), MACHINES[0]]
    assert not told(HalfGang(), [*half, (2000.0, rows(ATTEMPT))])
    assert told(HalfGang(), [*half, (3000.0, rows(ATTEMPT))])
    assert not told(HalfGang(), [*half, MACHINES[1], (3000.0, rows(ATTEMPT))])
    excused = Fault("region down", "", "", 2000.0)
    assert not told(HalfGang(), [*half, excused, (3000.0, rows(ATTEMPT))])


def trains(generation: int, step: int) -> list[Fact]:
    return [TrainerStarted(m, JOB, generation, step, model(step)) for m in ("i-1", "i-2")]


def test_a_notice_to_a_gang() -> None:
    begun = [rows(GANG), *MACHINES, *trains(1, 0)]
    noticed = (10.0, Noticed("i-2", 310.0))
    ended = [TrainerEnded(m, JOB, 1, 5, None) for m in ("i-1", "i-2")]
    assert told(GangNoticedLoss(1000.0), [*begun, noticed, *ended, *trains(2, 4)])
    assert not told(GangNoticedLoss(1000.0), [*begun, noticed, *ended, *trains(2, 5)])
    short = (10.0, Noticed("i-2", 100.0))
    assert not told(GangNoticedLoss(1000.0), [*begun, short, *ended, *trains(2, 4)])
    other = MachineEnded("i-1", "taken")
    assert not told(GangNoticedLoss(1000.0), [*begun, noticed, other, *ended, *trains(2, 4)])
