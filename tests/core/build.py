"""Builds views for tests of the pure core, and applies decisions to them as the store would."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from outlast.protocol.limits import LEASE_MARGIN_S, LEASE_S, SILENT_AFTER_S
from outlast.protocol.messages import AgentState, Command, Report, Work
from outlast.protocol.objects import ManifestRef, Pointer, PointerState
from outlast_orchestrator.core.actions import Action, Decision, Log, Save, Tell
from outlast_orchestrator.core.decide import decide
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import (
    Asked,
    Attempt,
    AttemptPhase,
    Block,
    Instance,
    InstancePhase,
    Job,
    JobState,
    LaunchRequest,
    Market,
    Offer,
    Progress,
    RetryPlan,
    Want,
)
from outlast_orchestrator.core.view import (
    CloudState,
    EndProof,
    Heard,
    InstanceView,
    JobView,
    Limits,
    PointerSeen,
    Seen,
)
from outlast_orchestrator.policies.cheapest import cheapest

NOW_S, NOW_AT = 10_000.0, 1_800_000_000.0
LIMITS = Limits(
    lease_s=LEASE_S,
    lease_margin_s=LEASE_MARGIN_S,
    silent_after_s=SILENT_AFTER_S,
    launch_lag_s=300.0,
    token_life_s=600.0,
    boot_limit_s=600.0,
    prepare_limit_s=3600.0,
    drain_limit_s=120.0,
    instance_life_max_s=7 * 86400.0,
)
OFFER = Offer("here", "r1", "r1-a", "cpu-1", Market.SPOT, 0.3, 1.0)
WORK = Work(name="job", owner="own", revision=1, run="python train.py")
JOB = Job("j1", "job", "own", NOW_AT - 60, 1, Want(), WORK, RetryPlan(), "file:///b")
REF = ManifestRef("manifests/000000100-g1-aa.json", "xxh3-128:00", 100)


def request(launch: str, offer: Offer = OFFER) -> LaunchRequest:
    return LaunchRequest(f"{launch}-1", launch, "own", "j1", offer, 100, 1000.0)


def record(launch: str, phase: InstancePhase = InstancePhase.READY, **more: Any) -> Instance:
    values: dict[str, Any] = {
        "asked": Asked.ACCEPTED,
        "intended_at": NOW_AT - 500,
        "id": f"i-{launch}",
        "started_at": NOW_AT - 400,
        "installed": phase is InstancePhase.READY,
    }
    return Instance(launch, "j1", request(launch), phase, **{**values, **more})


def seen(launch: str, state: CloudState = CloudState.RUNNING, **more: Any) -> Seen:
    zone, kind = more.pop("zone", "r1-a"), more.pop("instance_type", "cpu-1")
    return Seen(
        f"i-{launch}", launch, f"{launch}-1", "j1", "own", "here", "r1", zone, kind, Market.SPOT, state,
        0.3, started_at=NOW_AT - 400, **more,
    )  # fmt: skip


def heard(launch: str, generation: int, state: AgentState, *, silent_s: float = 1.0, **more: Any) -> Heard:
    closed, state_s = more.pop("closed", False), more.pop("state_s", NOW_S - 100)
    report = Report("j1", generation, 0, launch, f"boot-{launch}", 1, state, **more)
    return Heard(report, NOW_S - silent_s, silent_s, closed, state_s)


def machine(launch: str, heard_: Heard | None = None, **more: Any) -> InstanceView:
    values: dict[str, Any] = {"seen": seen(launch), "seen_s": NOW_S - 8, "asked_s": NOW_S - 400}
    values.update(more)
    return InstanceView(values.pop("record", record(launch)), heard=heard_, **values)


def attempt(generation: int, *launches: str, **more: Any) -> Attempt:
    values: dict[str, Any] = {"phase": AttemptPhase.RUNNING, "claimed": True, "writer": f"w{generation}"}
    return Attempt(
        "j1", generation, f"a{generation}", 1, NOW_AT - 300, "test", launches, **{**values, **more}
    )


def waiting(generation: int, *launches: str, **more: Any) -> Attempt:
    values: dict[str, Any] = {"phase": AttemptPhase.WAITING, "claimed": False, "writer": ""}
    return attempt(generation, *launches, **{**values, **more})


def pointer(generation: int, state: PointerState = PointerState.RUNNING, **more: Any) -> Pointer:
    values: dict[str, Any] = {"head": REF, "kept": (REF,), "writer": f"w{generation}"}
    values.update(more)
    return Pointer(1, "own", "j1", generation, instances=(), seq=5, state=state, at="", **values)


def view(**more: Any) -> JobView:
    """A job that runs nothing yet; `pointer_=` a Pointer or None as read just now."""
    found = more.pop("pointer_", None)
    values: dict[str, Any] = {
        "now_s": NOW_S,
        "now_at": NOW_AT,
        "job": JOB,
        "progress": Progress("j1"),
        "attempts": (),
        "instances": (),
        "pointer": PointerSeen(NOW_S, found, ""),
        "offers": (OFFER,),
        "blocks": (),
        "in_flight": frozenset(),
        "done": (),
        "limits": LIMITS,
        "dice": tuple(f"dice{n}" for n in range(8)),
        "listening_s": 10_000.0,
    }
    return JobView(**{**values, **more})


def running(state: AgentState = AgentState.RUNNING, **more: Any) -> JobView:
    """Generation 1 trains on machine m1, and all is well."""
    values: dict[str, Any] = {
        "progress": Progress(
            "j1", JobState.RUNNING, "trains", NOW_AT - 200, generation_max=1, durable=REF, handled_number=0
        ),
        "attempts": (attempt(1, "m1"),),
        "instances": (machine("m1", heard("m1", 1, state)),),
        "pointer_": pointer(1),
    }
    return view(**{**values, **more})


def lost(launch: str, generation: int, end: EndProof = EndProof.INTERRUPTED, **more: Any) -> InstanceView:
    """Its connection closed, and the cloud lists it as ended."""
    last = heard(launch, generation, AgentState.RUNNING, silent_s=3.0, closed=True)
    return machine(launch, last, seen=seen(launch, CloudState.ENDED, end=end), seen_s=NOW_S - 1, **more)


def decided(view_: JobView) -> Decision:
    return decide(view_, cheapest)


def actions(decision: Decision, kind: type[Action]) -> list[Any]:
    return [a for a in decision.actions if isinstance(a, kind)]


def events(decision: Decision, kind: Kind | None = None) -> list[Event]:
    found = [a.event for a in decision.actions if isinstance(a, Log)]
    return [e for e in found if kind is None or e.kind is kind]


def told(decision: Decision, launch: str) -> tuple[Command, ...] | None:
    found = [a.commands for a in actions(decision, Tell) if a.launch_id == launch]
    return found[-1] if found else None


def after(view_: JobView, decision: Decision | None = None) -> JobView:
    """The view of the next tick, had nothing else happened: the decision's rows are in it."""
    rows = [a.row for a in (decision or decided(view_)).actions if isinstance(a, Save)]
    attempts = {a.generation: a for a in view_.attempts}
    machines = {m.record.launch_id: m for m in view_.instances}
    blocks = {b.scope: b for b in view_.blocks}
    progress = view_.progress
    for row in rows:
        if isinstance(row, Attempt):
            attempts[row.generation] = row
        elif isinstance(row, Progress):
            progress = row
        elif isinstance(row, Block):
            blocks[row.scope] = row
        else:
            before = machines.get(row.launch_id, InstanceView(row))
            machines[row.launch_id] = replace(before, record=row)
    living = tuple(m for m in machines.values() if m.record.phase is not InstancePhase.GONE)
    kept = tuple(a for _, a in sorted(attempts.items()))
    return replace(
        view_, progress=progress, attempts=kept, instances=living, blocks=tuple(blocks.values()), done=()
    )
