"""People's side of the API: plan, submit, look, and wish."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

from outlast.protocol.objects import ManifestRef
from outlast_orchestrator.core.errors import StoreError, UserError
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.fit import Load, words
from outlast_orchestrator.core.place import NotNow, place
from outlast_orchestrator.core.ports import Policy
from outlast_orchestrator.core.types import (
    Attempt,
    Instance,
    InstancePhase,
    Job,
    JobState,
    Market,
    Offer,
    Progress,
)
from outlast_orchestrator.jobfile.load import parse_spec, to_job
from outlast_orchestrator.web import wishes
from outlast_orchestrator.web.asks import JOB_ID_BYTES, PlanAsk, RestartAsk, SubmitAsk, UpdateAsk, WishAsk
from outlast_orchestrator.web.hang import WAIT_MAX_S, Ended, Hangs, never
from outlast_orchestrator.web.kept import choose, pointer_of
from outlast_orchestrator.web.problems import Refusal
from outlast_orchestrator.web.services import Services
from outlast_orchestrator.web.status import event_json, offer_json, status, summary

WISH_TRIES = 5  # each loses only to another person's wish in the same moment
EVENTS_MAX = 1000
SEQ_MAX = 2**63 - 1  # of the store's numbers
LOOK_EVERY_S = 0.5  # while following events: how often the store is asked


class JobDesk:
    """The work behind the routes, in plain blocking calls."""

    def __init__(self, services: Services) -> None:
        self._s = services

    def plan(self, ask: PlanAsk) -> dict[str, Any]:
        spec = parse_spec(ask.spec)
        self._s.need_secrets(spec.secrets)
        job_id = self._s.clock.token(JOB_ID_BYTES)
        job = to_job(
            spec,
            id=job_id,
            name=ask.name,
            owner=self._s.store.owner(),
            created_at=self._s.clock.wall_s(),
            storage=self._s.storage,
        )
        offers = self._s.offers(job.want)
        blocks = self._s.store.blocks()
        policy: Policy = self._s.policies.get(job.policy, _by_price)
        placed = place(job, offers, blocks, policy, self._s.clock.wall_s(), 0.0)
        fitting = [o for o in offers if o.market in job.want.markets]
        return {
            "id": job_id,
            "name": ask.name,
            "storage": job.storage,
            "policy": job.policy,
            "nodes": job.nodes,
            "taken": self._s.living(job.name),
            "first": None if isinstance(placed, NotNow) else offer_json(placed.offer),
            "why": placed.why,
            "offers": [offer_json(o) for o in policy(job, fitting, 0.0)],
            "market": [m.value for m in job.want.markets],
            "saves_against_on_demand": _saving(placed.offer) if not isinstance(placed, NotNow) else None,
            "fit": self._fit(ask.name, job, sorted({offer.cloud for offer in fitting})),
        }

    def submit(self, ask: SubmitAsk) -> dict[str, Any]:
        known = self._s.store.job(ask.id)
        if known is None:
            self._need_code(ask.id, self._s.storage, ask.code)
            spec = parse_spec(ask.spec)
            self._s.need_secrets(spec.secrets)
            job = to_job(
                spec,
                id=ask.id,
                name=ask.name,
                owner=self._s.store.owner(),
                created_at=self._s.clock.wall_s(),
                storage=self._s.storage,
                code=ask.code,
            )
            why = f"submitted by {ask.by or 'someone'}"
            self._s.store.submit(job, Event(Kind.JOB_SUBMITTED, why, job=job.id))
            self._s.wake()
        return {"id": ask.id, "name": ask.name, "answer": f"{ask.name} is submitted"}

    def _need_code(self, job: str, storage: str, key: str) -> None:
        if key and not any(info.key == key for info in self._s.bucket(job, storage).list(key)):
            raise UserError(f"the packed working folder {key} has not arrived in the bucket: upload it first")

    def summaries(self) -> list[dict[str, Any]]:
        progress = {p.job: p for p in self._s.store.progress()}
        attempts: dict[str, list[Attempt]] = {}
        for attempt in self._s.store.open_attempts():
            attempts.setdefault(attempt.job, []).append(attempt)
        instances: dict[str, list[Instance]] = {}
        for instance in self._s.store.instances():
            instances.setdefault(instance.job, []).append(instance)
        heard, now_at = self._s.nodes.heard(), self._s.clock.wall_s()
        jobs = sorted(self._s.store.jobs(), key=lambda job: job.created_at)
        damaged = self._s.store.damaged()
        lines = [
            summary(
                job,
                progress.get(job.id),
                attempts.get(job.id, []),
                instances.get(job.id, []),
                heard,
                now_at,
            )
            for job in jobs
        ]
        return [{**line, "why": damaged.get(line["id"], line["why"])} for line in lines]

    def status(self, name_or_id: str) -> dict[str, Any]:
        job = self._s.find(name_or_id)
        progress = next((p for p in self._s.store.progress() if p.job == job.id), None)
        attempts, instances = self._s.store.attempts(job.id), self._s.store.instances(job.id)
        heard, now_at = self._s.nodes.heard(), self._s.clock.wall_s()
        head = summary(job, progress, attempts, instances, heard, now_at)
        wake_s = self._s.next_wake_s(job.id)
        clouds = sorted({i.offer.cloud for i in instances if i.phase is not InstancePhase.GONE})
        about = status(head, job, progress, attempts, instances, heard, now_at, wake_s)
        return {**about, "fit": self._fit(job.name, job, clouds)}

    def _fit(self, name: str, job: Job, clouds: Sequence[str]) -> list[str]:
        """By what this job, or else the newest one of its name, has measured."""
        known = self._s.store.job(job.id) or self._s.store.job(name)
        rows = [row for row in self._s.store.progress() if known is not None and row.job == known.id]
        measured = rows[0] if rows else Progress(job.id)
        loads = [
            Load(
                cloud, self._s.notice_s(cloud), measured.state_bytes, measured.save_s, measured.upload_s,
                job.want.disk_gb,
            )
            for cloud in clouds
        ]  # fmt: skip
        return list(dict.fromkeys(text for load in loads for text in words(load)))

    def events(self, job: Job | None, after: int, last: int, limit: int) -> list[dict[str, Any]]:
        now_at = self._s.clock.wall_s()
        if last == 0:
            found = self._s.store.events(None if job is None else job.id, after, limit)
        elif job is not None:
            found = self._s.store.last_events(job.id, last)
        else:
            found = self._last_of_all(last)
        return [event_json(event, now_at) for event in found]

    def _last_of_all(self, last: int) -> list[Event]:
        kept: deque[Event] = deque(maxlen=last)
        page = self._s.store.events(None, 0, EVENTS_MAX)
        while page:
            kept.extend(page)
            page = self._s.store.events(None, page[-1].seq, EVENTS_MAX)
        return list(kept)

    def wish(self, name_or_id: str, change: wishes.Change) -> dict[str, Any]:
        for left in reversed(range(WISH_TRIES)):
            job = self._s.find(name_or_id)
            wish = change(job, self._state(job))
            if wish.job is None:
                break
            try:
                self._s.store.wish(wish.job, wish.event)
            except StoreError:
                stale = self._s.find(job.id).wanted_number >= wish.job.wanted_number
                if not stale or left == 0:
                    raise
                continue
            self._s.wake()
            break
        return {"id": job.id, "name": job.name, "changed": wish.job is not None, "answer": wish.answer}

    def kept(self, name_or_id: str, which: str) -> ManifestRef | None:
        """The checkpoint that a person means; None for the head, whichever that will be."""
        if not which:
            return None
        job = self._s.find(name_or_id)
        return choose(pointer_of(self._s.bucket(job.id, job.storage), job), which, job)

    def update(self, name_or_id: str, ask: UpdateAsk) -> dict[str, Any]:
        spec = parse_spec(ask.spec)
        self._s.need_secrets(spec.secrets)
        job = self._s.find(name_or_id)
        if spec.name is not None and spec.name != job.name:
            raise UserError(
                f"the file is for the job {spec.name!r}, not for {job.name!r}: update keeps the name"
            )
        self._need_code(job.id, job.storage, ask.code)

        def to_revision(old: Job) -> Job:
            return to_job(
                spec,
                id=old.id,
                name=old.name,
                owner=old.owner,
                created_at=old.created_at,
                storage=old.storage,
                code=ask.code,
                revision=old.revision + 1,
            )

        return self.wish(job.id, wishes.update(to_revision, ask.by))

    def _state(self, job: Job) -> JobState:
        found = (p.state for p in self._s.store.progress() if p.job == job.id)
        return next(found, JobState.PENDING)


def _by_price(job: Job, offers: Sequence[Offer], spent_usd: float) -> Sequence[Offer]:  # noqa: ARG001
    return sorted(offers, key=lambda offer: offer.price_usd_h)


def _saving(offer: Offer) -> float | None:
    if offer.market is Market.ON_DEMAND or offer.on_demand_usd_h <= 0:
        return None
    return round(1 - offer.price_usd_h / offer.on_demand_usd_h, 4)


def job_routes(services: Services, hangs: Hangs) -> APIRouter:
    router = APIRouter()
    desk = JobDesk(services)

    @router.post("/plan")
    def plan(ask: PlanAsk) -> dict[str, Any]:
        return desk.plan(ask)

    @router.post("/jobs")
    def submit(ask: SubmitAsk) -> dict[str, Any]:
        return desk.submit(ask)

    @router.get("/jobs")
    def jobs() -> dict[str, Any]:
        return {"jobs": desk.summaries()}

    @router.get("/jobs/{job}")
    def job_status(job: str) -> dict[str, Any]:
        return desk.status(job)

    _event_routes(router, services, desk, hangs)
    _wish_routes(router, desk)
    return router


def _event_routes(router: APIRouter, services: Services, desk: JobDesk, hangs: Hangs) -> None:
    @router.get("/jobs/{job}/events")
    @router.get("/events")
    async def events(
        request: Request,
        job: str | None = None,
        after: Annotated[int, Query(ge=0, le=SEQ_MAX)] = 0,
        last: Annotated[int, Query(ge=0, le=EVENTS_MAX)] = 0,
        limit: Annotated[int, Query(ge=1, le=EVENTS_MAX)] = EVENTS_MAX,
        wait: Annotated[float, Query(ge=0, le=WAIT_MAX_S)] = 0.0,
    ) -> dict[str, Any]:
        """Those after the number `after`, or the `last` ones; waits for the first if there is none."""
        found_job = await run_in_threadpool(services.find, job) if job is not None else None
        looks = 1 + int(wait / LOOK_EVERY_S)
        found: list[dict[str, Any]] = []
        for look in range(looks):
            found = await run_in_threadpool(desk.events, found_job, after, last, limit)
            if found or look == looks - 1:
                break
            if await hangs.wait(request, never, LOOK_EVERY_S) is not Ended.TIME_OUT:
                break
        return {"events": found, "after": found[-1]["seq"] if found else after}


def _wish_routes(router: APIRouter, desk: JobDesk) -> None:
    @router.post("/jobs/{job}/{what}")
    def wish(job: str, what: str, ask: WishAsk) -> dict[str, Any]:
        changes = {"cancel": wishes.cancel, "pause": wishes.pause, "resume": wishes.resume}
        if what not in changes:
            raise Refusal(404, f"there is nothing called {what!r} to do with a job")
        return desk.wish(job, changes[what](ask.by))

    @router.put("/jobs/{job}/restart")
    def restart(job: str, ask: RestartAsk) -> dict[str, Any]:
        return desk.wish(job, wishes.restart(ask.by, ask.now, desk.kept(job, ask.start_from)))

    @router.put("/jobs/{job}/spec")
    def update(job: str, ask: UpdateAsk) -> dict[str, Any]:
        return desk.update(job, ask)
