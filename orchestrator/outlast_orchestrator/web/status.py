"""Tells everything about a job in plain JSON values: state, why, age, machines, checkpoint, cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from outlast.protocol.codec import to_json
from outlast_orchestrator.core.events import Event
from outlast_orchestrator.core.ledger import cost
from outlast_orchestrator.core.types import OVER, Attempt, Instance, Job, Offer, Progress
from outlast_orchestrator.core.view import Heard

CENTS = 4


def _age(now_at: float, at: float | None) -> float | None:
    return None if at is None else max(0.0, now_at - at)


def summary(
    job: Job,
    progress: Progress | None,
    attempts: Sequence[Attempt],
    instances: Sequence[Instance],
    heard: Mapping[str, Heard],
    now_at: float,
) -> dict[str, Any]:
    """One line of `ps`, and the head of `status`."""
    progress = progress or Progress(
        job.id, why="the controller has not looked at it yet", since=job.created_at
    )
    newest = max((a for a in attempts if a.job == job.id), key=lambda a: a.generation, default=None)
    spent = cost(instances, now_at)
    durable = progress.durable
    return {
        "id": job.id,
        "name": job.name,
        "state": progress.state.value,
        "why": progress.why,
        "age_s": _age(now_at, progress.since or job.created_at),
        "over": progress.state in OVER,
        "wanted": job.wanted.value,
        "revision": job.revision,
        "submitted_age_s": _age(now_at, job.created_at),
        "generation": progress.generation_max,
        "step": _step(newest, heard),
        "durable": None
        if durable is None
        else {"name": durable.name, "step": durable.step, "age_s": _age(now_at, progress.durable_at)},
        "cost": {
            "usd": round(spent.spent_usd, CENTS),
            "on_demand_usd": round(spent.on_demand_usd, CENTS),
            "saved_usd": round(spent.saved_usd, CENTS),
            "machine_hours": round(spent.machine_hours, CENTS),
        },
        "exit_code": progress.exit_code,
    }


def _step(attempt: Attempt | None, heard: Mapping[str, Heard]) -> int | None:
    if attempt is None:
        return None
    steps = [
        heard[launch].report.step
        for launch in attempt.launches
        if launch in heard and heard[launch].report.generation == attempt.generation
    ]
    return max((s for s in [*steps, attempt.last_step] if s is not None), default=attempt.start_step)


def status(
    head: Mapping[str, Any],
    job: Job,
    progress: Progress | None,
    attempts: Sequence[Attempt],
    instances: Sequence[Instance],
    heard: Mapping[str, Heard],
    now_at: float,
    next_wake_s: float | None,
) -> dict[str, Any]:
    newest = max(attempts, key=lambda a: a.generation, default=None)
    return {
        **head,
        "storage": job.storage,
        "policy": job.policy,
        "labels": job.labels,
        "nodes": job.nodes,
        "run": job.work.run,
        "wanted_by": job.wanted_by,
        "failures": progress.failures if progress else 0,
        "unhealthy": progress.unhealthy if progress else 0,
        "next_wake_s": next_wake_s,
        "saving": _saving(newest, heard),
        "attempts": [_attempt(a, heard, now_at) for a in sorted(attempts, key=lambda a: a.generation)],
        "instances": [_instance(i, heard, now_at) for i in sorted(instances, key=lambda i: i.intended_at)],
    }


def _saving(attempt: Attempt | None, heard: Mapping[str, Heard]) -> dict[str, Any] | None:
    """How saving goes, as the newest attempt's first node last said it."""
    launch = attempt.launches[0] if attempt is not None and attempt.launches else ""
    if launch not in heard:
        return None
    value: dict[str, Any] = to_json(heard[launch].report.save)
    return value


def _attempt(attempt: Attempt, heard: Mapping[str, Heard], now_at: float) -> dict[str, Any]:
    closing = attempt.closing
    return {
        "generation": attempt.generation,
        "phase": attempt.phase.value,
        "revision": attempt.revision,
        "why": attempt.planned_why,
        "age_s": _age(now_at, attempt.planned_at),
        "claimed": attempt.claimed,
        "abandoned": attempt.abandoned_why if attempt.abandoned else "",
        "noticed": attempt.noticed,
        "start_step": attempt.start_step,
        "last_step": attempt.last_step if not attempt.open else _step(attempt, heard),
        "launches": list(attempt.launches),
        "closed": None
        if closing is None
        else {
            "why": closing.why,
            "verdict": closing.verdict,
            "witnesses": list(closing.witnesses),
            "age_s": _age(now_at, closing.at),
        },
    }


def _instance(instance: Instance, heard: Mapping[str, Heard], now_at: float) -> dict[str, Any]:
    offer = instance.offer
    last = heard.get(instance.launch_id)
    return {
        "launch_id": instance.launch_id,
        "id": instance.id,
        "phase": instance.phase.value,
        "address": instance.address,
        "age_s": _age(now_at, instance.started_at or instance.intended_at),
        **offer_json(offer),
        "usd": round(cost([instance], now_at).spent_usd, CENTS),
        "ended_age_s": _age(now_at, instance.ended_at),
        "end_why": instance.end_why or instance.terminate_why,
        "agent": None
        if last is None
        else {
            "state": last.report.state.value,
            "rank": last.report.rank,
            "why": last.report.why,
            "step": last.report.step,
            "step_age_s": last.report.step_age_s,
            "silent_s": round(last.silent_s, 1),
            "notice": to_json(last.report.notice),
        },
    }


def offer_json(offer: Offer) -> dict[str, Any]:
    value: dict[str, Any] = to_json(offer)
    return value


def event_json(event: Event, now_at: float) -> dict[str, Any]:
    value: dict[str, Any] = to_json(event)
    value["age_s"] = _age(now_at, event.at)
    return value
