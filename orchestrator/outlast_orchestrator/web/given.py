"""What a node is given when it asks: keys for the bucket, and its job's secrets. Nothing of it is kept."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from outlast.protocol.codec import dump
from outlast.protocol.messages import BucketKeys, JobSecrets
from outlast_orchestrator.core.types import Job
from outlast_orchestrator.web.auth import Door, only_node
from outlast_orchestrator.web.problems import Refusal
from outlast_orchestrator.web.services import Services


def given_routes(services: Services, door: Door) -> APIRouter:
    """Whoever leads may answer, or another: the token alone says whose the node is."""
    router = APIRouter(prefix="/v1")

    @router.post("/nodes/{launch_id}/bucket-keys")
    def bucket_keys(request: Request, launch_id: str) -> Response:
        only_node(door.caller(request), launch_id)
        if services.credentials is None:
            raise Refusal(404, "this server gives no keys for the bucket: set storage_keys")
        job = _job_of(services, launch_id)
        return _given(services.credentials.issue(job.storage, job.id))

    @router.post("/nodes/{launch_id}/secrets")
    def secrets(request: Request, launch_id: str) -> Response:
        only_node(door.caller(request), launch_id)
        names = _job_of(services, launch_id).work.secrets
        services.need_secrets(names)
        return _given(JobSecrets({} if services.secrets is None else services.secrets.values(names)))

    return router


def _given(value: BucketKeys | JobSecrets) -> Response:
    return Response(dump(value), media_type="application/json", headers={"Cache-Control": "no-store"})


def _job_of(services: Services, launch_id: str) -> Job:
    """The job of a machine that is there: what a machine that is gone had is nobody's any more."""
    for record in services.store.instances(gone=False):
        if record.launch_id == launch_id:
            job = services.store.job(record.job)
            if job is not None and job.id == record.job:
                return job
    raise Refusal(404, f"no job is known here that the node {launch_id!r} works for")
