"""Jobs, attempts and instances to put into a store."""

from __future__ import annotations

from typing import Any

from outlast.protocol.messages import CheckpointPlan, Work
from outlast.protocol.objects import ManifestRef
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

REF = ManifestRef("manifests/000000100-g1-aa.json", "xxh3-128:00", 100)
OFFER = Offer("here", "r1", "r1-a", "cpu-1", Market.SPOT, 0.3, 1.0)


def job(job_id: str = "j1", name: str = "hello", **more: Any) -> Job:
    work = Work(
        name=name,
        owner="own",
        revision=1,
        run="python train.py",
        env={"A": "ä"},
        outputs=("model/*",),
        checkpoint=CheckpointPlan(every_s=30.0),
    )
    values: dict[str, Any] = {"created_at": 1000.0, "labels": {"team": "x"}, **more}
    want = Want(gpus=("H100:8",), markets=(Market.SPOT, Market.ON_DEMAND))
    return Job(
        job_id, name, "own", values.pop("created_at"), 1, want, work, RetryPlan(), "file:///b", **values
    )


def attempt(generation: int = 1, job_id: str = "j1", **more: Any) -> Attempt:
    return Attempt(
        job_id, generation, f"a{generation}", 1, 1000.0, "first", launches=("l1",), start_from=REF, **more
    )


def instance(
    launch_id: str = "l1", job_id: str = "j1", phase: InstancePhase = InstancePhase.LAUNCHING, **more: Any
) -> Instance:
    request = LaunchRequest(f"{launch_id}-1", launch_id, "own", job_id, OFFER, 100, 3600.0)
    return Instance(launch_id, job_id, request, phase, intended_at=more.pop("intended_at", 1000.0), **more)


def progress(job_id: str = "j1", **more: Any) -> Progress:
    return Progress(job_id, closed=((1, "w1"),), durable=REF, **more)
