"""People's side of the API: a job's output, files and code in the bucket, and stray machines."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from outlast.bucket.outputs import BadIndex, OutputIndex, newest_index
from outlast.ports import Bucket
from outlast.protocol.codec import to_json
from outlast.protocol.objects import FORMAT, code_key
from outlast_orchestrator.core.errors import OutlastError, UserError
from outlast_orchestrator.core.types import OVER, Job
from outlast_orchestrator.web import logs
from outlast_orchestrator.web.asks import DIGEST, JOB_ID, TerminateAsk
from outlast_orchestrator.web.hang import WAIT_MAX_S, Ended, Hangs, never
from outlast_orchestrator.web.problems import Refusal
from outlast_orchestrator.web.services import Services

LOG_LOOK_EVERY_S = 1.0
RANK_MAX = 10_000


def output_index(bucket: Bucket, job: Job) -> OutputIndex:
    """What the newest attempt has left so far. Raises OutlastError."""
    try:
        found = newest_index(bucket)
    except BadIndex as error:
        raise OutlastError(f"the outputs of {job.name} in {job.storage} can't be listed: {error}") from error
    return found if found is not None else OutputIndex(FORMAT, 0, ())


@dataclass(frozen=True)
class Spool:
    """A file on this machine's disk as something to upload."""

    file: IO[bytes]
    size: int

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self.file.fileno(), length, offset)


def bucket_routes(services: Services, hangs: Hangs) -> APIRouter:
    router = APIRouter()

    @router.get("/orphans")
    def orphans() -> dict[str, Any]:
        strays = services.strays()
        found = [{**to_json(one.seen), "job_known": one.job_known, "why": one.why} for one in strays.found]
        return {"orphans": found, "unlisted": list(strays.unlisted)}

    @router.post("/orphans/terminate")
    def terminate(ask: TerminateAsk) -> dict[str, Any]:
        return {"ended": [to_json(one) for one in services.end_strays(ask.ids, ask.by)]}

    @router.get("/doctor")
    def doctor() -> dict[str, Any]:
        return {"storage": services.storage, "clouds": [to_json(one) for one in services.check()]}

    _output_routes(router, services)
    _code_route(router, services)
    _log_route(router, services, hangs)
    return router


def _output_routes(router: APIRouter, services: Services) -> None:
    @router.get("/jobs/{job}/outputs")
    def list_outputs(job: str) -> dict[str, Any]:
        found = services.find(job)
        index = output_index(services.bucket(found.id, found.storage), found)
        files = [{"path": f.path, "size": f.size, "hash": f.hash} for f in index.files]
        return {"outputs": files, "complete": index.complete}

    @router.get("/jobs/{job}/outputs/{path:path}")
    def output(job: str, path: str) -> Response:
        found = services.find(job)
        bucket = services.bucket(found.id, found.storage)
        entry = next((f for f in output_index(bucket, found).files if f.path == path), None)
        if entry is None:
            raise Refusal(404, f"the job {found.name} has no output {path!r}")
        stream = bucket.stream(entry.key, 0, entry.size) if entry.size else ()
        body: Iterator[bytes] = (bytes(chunk) for chunk in stream)
        name = f"attachment; filename*={_name(path)}"
        headers = {"content-length": str(entry.size), "content-disposition": name}
        return StreamingResponse(body, media_type="application/octet-stream", headers=headers)


def _name(path: str) -> str:
    return "UTF-8''" + quote(path.rpartition("/")[2])


def _code_route(router: APIRouter, services: Services) -> None:
    def keep(job: str, digest: str, spool: Spool) -> None:
        known = services.store.job(job)
        bucket = services.bucket(job, known.storage if known is not None else "")
        key = code_key(digest)
        # The key is the hash of the content, so an object that is there is the same one.
        if not any(info.key == key for info in bucket.list(key)):
            bucket.upload(key, spool, lambda _done: None)

    @router.put("/jobs/{job}/code/{digest}")
    async def put_code(request: Request, job: str, digest: str) -> dict[str, Any]:
        """The packed working folder, for the job id that the plan gave; the node checks its hash."""
        if re.fullmatch(JOB_ID, job) is None or re.fullmatch(DIGEST, digest) is None:
            raise UserError("code goes to jobs/<16 hex digits>/code/<64 hex digits>")
        with tempfile.TemporaryFile() as file:
            size = 0
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
                size += len(chunk)
            await run_in_threadpool(file.flush)
            await run_in_threadpool(keep, job, digest, Spool(file, size))
        return {"key": code_key(digest), "bytes": size}


def _log_route(router: APIRouter, services: Services, hangs: Hangs) -> None:
    def start(
        name: str, attempt: int | None, rank: int, after: str
    ) -> tuple[str, str, logs.Place, list[int], bool]:
        job = services.find(name)
        if rank >= job.nodes:
            raise Refusal(404, f"{job.name} has no rank {rank}: the last one is {job.nodes - 1}")
        generations = [a.generation for a in services.store.attempts(job.id)]
        if attempt is not None and attempt not in generations:
            there = f"{min(generations)} to {max(generations)}" if generations else "none yet"
            raise Refusal(404, f"{job.name} has no attempt {attempt}: there is {there}")
        progress = next((p for p in services.store.progress() if p.job == job.id), None)
        over = progress is not None and progress.state in OVER
        try:
            place = logs.Place.parse(after) if after else logs.Place(attempt or max(generations, default=0))
        except ValueError as error:
            raise UserError(str(error)) from error
        return job.id, job.storage, place, generations, over

    @router.get("/jobs/{job}/logs")
    async def output(
        request: Request,
        job: str,
        attempt: Annotated[int | None, Query(ge=1)] = None,
        rank: Annotated[int, Query(ge=0, le=RANK_MAX)] = 0,
        after: str = "",
        wait: Annotated[float, Query(ge=0, le=WAIT_MAX_S)] = 0.0,
    ) -> Response:
        """Plain bytes; the headers say where to go on, and whether more can come."""
        looks = 1 + int(wait / LOG_LOOK_EVERY_S)
        for look in range(looks):
            job_id, storage, place, generations, over = await run_in_threadpool(
                start, job, attempt, rank, after
            )
            bucket = services.bucket(job_id, storage)
            piece = await run_in_threadpool(
                logs.advance, bucket, place, rank, generations, attempt is not None
            )
            if piece.body or over or look == looks - 1:
                break
            if await hangs.wait(request, never, LOG_LOOK_EVERY_S) is not Ended.TIME_OUT:
                break
        headers = {
            "x-outlast-after": str(piece.place),
            "x-outlast-attempt": str(piece.place.generation),
            "x-outlast-more": "yes" if piece.more else "no",
            "x-outlast-over": "yes" if over else "no",
        }
        return Response(piece.body, media_type="application/octet-stream", headers=headers)
