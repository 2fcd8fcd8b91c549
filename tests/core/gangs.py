"""Views of gangs: their nodes, getting ready or training, for tests of the pure core."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.core.build import (
    JOB,
    NOW_AT,
    OFFER,
    REF,
    after,
    attempt,
    decided,
    heard,
    machine,
    pointer,
    seen,
    told,
    view,
    waiting,
)

from outlast.protocol.messages import AgentState, CommandKind
from outlast.protocol.objects import InstanceRef
from outlast_orchestrator.core.types import (
    Attempt,
    Job,
    JobState,
    Progress,
)
from outlast_orchestrator.core.view import Call, CallDone, CallKind, Heard, InstanceView, JobView

PAIR = replace(JOB, nodes=2)
TRIO = replace(JOB, nodes=3)
FAR = replace(OFFER, region="r2", zone="r2-a", price_usd_h=0.5)
BESIDE = replace(OFFER, zone="r1-b", price_usd_h=0.2)


def said(launch: str, rank: int, generation: int, state: AgentState, **more: Any) -> Heard:
    found = heard(launch, generation, state, **more)
    return replace(found, report=replace(found.report, rank=rank))


def node(launch: str, rank: int, state: AgentState, generation: int = 1, **more: Any) -> InstanceView:
    there = seen(launch, address=f"10.0.0.{rank}")
    return machine(launch, said(launch, rank, generation, state, **more), seen=there)


def since(machine_: InstanceView, seconds: float) -> InstanceView:
    """It costs since then."""
    assert machine_.seen is not None
    return replace(machine_, seen=replace(machine_.seen, started_at=NOW_AT - seconds))


def training(*nodes: InstanceView, job: Job = PAIR, **more: Any) -> JobView:
    """Generation 1 trains on these."""
    launches = [n.record.launch_id for n in nodes]
    values: dict[str, Any] = {
        "job": job,
        "progress": Progress("j1", JobState.RUNNING, "", NOW_AT - 200, 1, durable=REF, handled_number=0),
        "attempts": (attempt(1, *launches),),
        "instances": nodes,
        "pointer_": pointer(1),
    }
    return view(**{**values, **more})


def preparing(*nodes: InstanceView, job: Job = PAIR, slots: tuple[str, ...] = (), **more: Any) -> JobView:
    launches = slots or tuple(n.record.launch_id for n in nodes)
    values: dict[str, Any] = {
        "job": job,
        "progress": Progress("j1", generation_max=1, handled_number=0),
        "attempts": (waiting(1, *launches),),
        "instances": nodes,
    }
    return view(**{**values, **more})


def open_attempt(view_: JobView) -> Attempt:
    return after(view_).attempts[-1]


def kinds(view_: JobView, launch: str) -> list[CommandKind]:
    commands = told(decided(view_), launch)
    return [command.kind for command in commands or ()]


def planned(job: Job, **more: Any) -> JobView:
    return view(job=job, done=(CallDone(Call(CallKind.GENERATION, "j1"), generation=1),), **more)


def replace_ref(launch: str) -> InstanceRef:
    return InstanceRef("here", "r1", f"i-{launch}")
