"""The routes of a job's checkpoints: list, look into, fetch, verify, pin and unpin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from outlast.ports import Bucket, Missing
from outlast.protocol.objects import FileEntry
from outlast_orchestrator.core.errors import OutlastError
from outlast_orchestrator.core.types import Job
from outlast_orchestrator.web import kept
from outlast_orchestrator.web.hang import WAIT_MAX_S, Ended, Hangs, never
from outlast_orchestrator.web.problems import Refusal
from outlast_orchestrator.web.services import Services

LINES = "application/x-ndjson"
LOOK_EVERY_S = 1.0
OPEN = ("pin wished", "unpin wished")  # a wish that the pointer does not answer yet


def checkpoint_routes(services: Services, hangs: Hangs) -> APIRouter:
    router = APIRouter()

    def of(name: str) -> tuple[Bucket, Job]:
        job = services.find(name)
        return services.bucket(job.id, job.storage), job

    @router.get("/jobs/{job}/checkpoints")
    def list_checkpoints(job: str) -> dict[str, Any]:
        return {"checkpoints": kept.checkpoints(*of(job))}

    @router.get("/jobs/{job}/checkpoint")
    def one(job: str, which: str = "") -> dict[str, Any]:
        """One of them with its files; `which`: a step, a name, or nothing for the head."""
        bucket, found = of(job)
        ref = kept.choose(kept.pointer_of(bucket, found), which, found)
        manifest = kept.manifest_of(bucket, found, ref)
        files = [{"path": f.path, "size": f.size, "hash": f.hash} for f in manifest.files]
        return {"name": ref.name, "step": ref.step, "bytes": manifest.bytes, "files": files}

    @router.get("/jobs/{job}/checkpoints/{name}/files/{path:path}")
    def file(job: str, name: str, path: str) -> Response:
        bucket, found = of(job)
        ref = kept.choose(kept.pointer_of(bucket, found), name, found)
        manifest = kept.manifest_of(bucket, found, ref)
        entry = next((f for f in manifest.files if f.path == path), None)
        if entry is None:
            raise Refusal(404, f"checkpoint {ref.name} of {found.name} has no file {path!r}")
        return StreamingResponse(_body(bucket, entry, ref.name), media_type="application/octet-stream")

    @router.get("/jobs/{job}/verification")
    def verify(job: str, which: str = "") -> Response:
        """All that is kept, or one of them, as JSON lines while it goes on."""
        bucket, found = of(job)
        pointer = kept.pointer_of(bucket, found)
        one = kept.choose(pointer, which, found)
        assert pointer is not None  # else nothing could have been chosen
        refs = [one] if which else sorted(pointer.kept, key=lambda ref: ref.name, reverse=True)
        return StreamingResponse(kept.Verification(bucket, found, pointer).lines(refs), media_type=LINES)

    _pin_routes(router, of, hangs)
    return router


def _pin_routes(router: APIRouter, of: Callable[[str], tuple[Bucket, Job]], hangs: Hangs) -> None:
    @router.put("/jobs/{job}/pins")
    def pin(job: str, which: str = "") -> dict[str, Any]:
        return kept.wish_pin(*of(job), which)

    @router.get("/jobs/{job}/pins/{name}")
    async def look_at_pin(
        request: Request, job: str, name: str, wait: Annotated[float, Query(ge=0, le=WAIT_MAX_S)] = 0.0
    ) -> dict[str, Any]:
        """Waits while the agent has not answered the wish yet."""
        found: dict[str, Any] = {}
        looks = 1 + int(wait / LOOK_EVERY_S)
        for look in range(looks):
            bucket, about = await run_in_threadpool(of, job)
            found = await run_in_threadpool(kept.pin_answer, bucket, about, name)
            if found["pin"] not in OPEN or not found["running"] or look == looks - 1:
                break
            if await hangs.wait(request, never, LOOK_EVERY_S) is not Ended.TIME_OUT:
                break
        return found

    @router.delete("/jobs/{job}/pins")
    def unpin(job: str, which: str = "") -> dict[str, Any]:
        return kept.wish_no_pin(*of(job), which)


def _body(bucket: Bucket, entry: FileEntry, name: str) -> Iterator[bytes]:
    """Its first bytes are asked for at once: what is missing can still be told in words."""
    body = (bytes(chunk) for chunk in (bucket.stream(entry.key, 0, entry.size) if entry.size else ()))
    try:
        first = list(_first(body))
    except Missing as error:
        raise OutlastError(f"file {entry.path!r} of checkpoint {name} is missing in the bucket") from error
    return chain(first, body)


def _first(body: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in body:
        yield chunk
        return
