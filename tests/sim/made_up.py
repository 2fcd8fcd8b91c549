"""Made-up facts for the tests of the checkers: one job, small and plain."""

from __future__ import annotations

from typing import Any

from outlast.bucket.manifest import hash_bytes, manifest_ref
from outlast.bucket.outputs import INDEX, OutputEntry, OutputIndex, object_key
from outlast.protocol.codec import dump
from outlast.protocol.messages import AgentState, Report, Work
from outlast.protocol.objects import (
    Confidence,
    FileEntry,
    GenerationTaken,
    Manifest,
    ManifestRef,
    Pointer,
    PointerState,
    manifest_key,
)
from outlast_orchestrator.core.types import (
    Attempt,
    Instance,
    InstancePhase,
    Job,
    LaunchRequest,
    Market,
    Offer,
    Progress,
    RetryPlan,
    Want,
)
from outlast_orchestrator.simulate.history import Launched, Noticed, StoreWrote, TrainerStarted, Wrote
from outlast_orchestrator.simulate.trainer import OUTPUT, Profile, checkpoint_files, next_state

JOB = "j1"
BY = "agent/i-1/1"
POINTER = f"jobs/{JOB}/latest.json"
OFFER = Offer("sim", "east", "easta", "gpu-1", Market.SPOT, 1.0, 3.0)
LAUNCH = LaunchRequest("l1-1", "l1", "own", JOB, OFFER, 100, 1000.0)
PROFILE = Profile(job=JOB, steps=3, step_s=10.0, size=300)


def model(step: int) -> str:
    """The trainer's state after that step."""
    return next_state(JOB, step, "before")


def ref(name: str, step: int, parent: ManifestRef | None = None) -> ManifestRef:
    return manifest_ref(as_manifest(ManifestRef(manifest_key(name), "", step), parent))


def as_manifest(one: ManifestRef, parent: ManifestRef | None) -> Manifest:
    body = _body(one)
    key = f"checkpoints/{one.name}/model.bin"
    entry = FileEntry("model.bin", key, len(body), hash_bytes(body))
    return Manifest(
        1, "own", JOB, 1, "a1", one.name, one.step, "", 1, "simulated", Confidence.STRONG, (entry,), parent
    )


def _body(one: ManifestRef) -> bytes:
    return checkpoint_files(PROFILE, one.step, model(one.step))["model.bin"]


def commit(one: ManifestRef, parent: ManifestRef | None) -> list[Wrote]:
    """The writes of a commit: data, then manifest."""
    manifest = as_manifest(one, parent)
    return [
        Wrote(BY, f"jobs/{JOB}/checkpoints/{one.name}/model.bin", _body(one), None),
        Wrote(BY, f"jobs/{JOB}/{one.key}", dump(manifest), None),
    ]


def pointer(
    generation: int,
    seq: int,
    *,
    head: ManifestRef | None = None,
    kept: tuple[ManifestRef, ...] = (),
    state: PointerState = PointerState.RUNNING,
) -> Pointer:
    return Pointer(1, "own", JOB, generation, f"w{generation}", (), seq, state, head, kept, "")


def wrote(key: str, after: Any, before: Any = None, by: str = BY) -> Wrote:
    return Wrote(by, key, dump(after), None if before is None else dump(before))


def taken(generation: int) -> Wrote:
    body = dump(GenerationTaken(generation, "own", f"a{generation}", ""))
    return Wrote("controller/1", f"jobs/{JOB}/generations/{generation}", body, None)


def stored(*rows: Any) -> StoreWrote:
    return StoreWrote("controller/1", rows, ())


def attempt(generation: int) -> Attempt:
    return Attempt(JOB, generation, f"a{generation}", 1, 0.0, "test")


def progress() -> Progress:
    return Progress(JOB)


def instance(phase: InstancePhase, **more: Any) -> Instance:
    return Instance("l1", JOB, LAUNCH, phase, **more)


def job() -> Job:
    work = Work("job", "own", 1, PROFILE.command(), outputs=(OUTPUT,))
    return Job(JOB, "job", "own", 0.0, 1, Want(), work, RetryPlan(), "sim://bucket")


def launched(machine: str) -> Launched:
    return Launched(machine, LAUNCH)


def notice(machine: str, deadline_s: float | None) -> Noticed:
    return Noticed(machine, deadline_s)


def started(generation: int, step: int, chain: str, machine: str = "i-1") -> TrainerStarted:
    return TrainerStarted(machine, JOB, generation, step, chain)


def status(state: AgentState, writer: str) -> Wrote:
    report = Report(JOB, 1, 0, "l1", "boot", 1, state, writer=writer)
    return Wrote(BY, f"jobs/{JOB}/status/g1-r0.json", dump(report), None)


def saved(state: str) -> list[Wrote]:
    """The outputs of an attempt that is done: the object, then the index."""
    body = state.encode()
    key = object_key(hash_bytes(body))
    index = OutputIndex(1, 1, (OutputEntry(OUTPUT, key, len(body), hash_bytes(body)),), complete=True)
    return [
        Wrote(BY, f"jobs/{JOB}/{key}", body, None),
        Wrote(BY, f"jobs/{JOB}/{INDEX}1.json", dump(index), None),
    ]
