"""The nodes' side of the API: reports in, commands out, and the hanging request between them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from outlast.protocol.codec import FormatError, dump, load
from outlast.protocol.limits import PROTOCOL_OLDEST
from outlast.protocol.messages import Reply, Report
from outlast_orchestrator.core.ports import Nodes, Store
from outlast_orchestrator.web.auth import Door, only_node
from outlast_orchestrator.web.hang import WAIT_MAX_S, Ended, Hangs
from outlast_orchestrator.web.problems import Refusal

Changed = Callable[[], None]


def numbered(reply: Reply) -> Reply:
    """With the number that stands for the commands; a digest needs no memory over restarts."""
    digest = hashlib.sha256(dump(Reply(commands=reply.commands))).digest()
    return replace(reply, number=int.from_bytes(digest[:6], "big") or 1)


def _respond(reply: Reply) -> Response:
    return Response(dump(reply), media_type="application/json")


def node_routes(
    store: Store, nodes: Nodes, door: Door, hangs: Hangs, leading: Callable[[], bool]
) -> APIRouter:
    router = APIRouter(prefix="/v1")

    def take(request: Request, body: bytes) -> Reply:
        caller = door.caller(request)  # an unknown token learns nothing of what a report should look like
        _need(leading())
        try:
            report = load(Report, body)
        except FormatError as error:
            raise Refusal(400, f"this is no report: {error}") from error
        only_node(caller, report.instance)
        if report.protocol < PROTOCOL_OLDEST:
            raise Refusal(
                400, f"protocol {report.protocol} is too old: {PROTOCOL_OLDEST} or newer is spoken here"
            )
        job = store.job(report.job)
        if job is None or job.id != report.job:
            raise Refusal(404, f"no job {report.job!r} is known here")
        return nodes.receive(report)

    @router.post("/report")
    async def report(request: Request) -> Response:
        body = await request.body()
        return _respond(numbered(await run_in_threadpool(take, request, body)))

    @router.get("/nodes/{launch_id}/commands")
    async def commands(
        request: Request,
        launch_id: str,
        wait: Annotated[float, Query(ge=0, le=WAIT_MAX_S)] = 30.0,
        seen: Annotated[int, Query(ge=0)] = 0,
    ) -> Response:
        only_node(await run_in_threadpool(door.caller, request), launch_id)
        _need(leading())
        hangs.enter(launch_id)
        alone = True
        try:
            nodes.connected(launch_id)
            ended = await _until_changed(nodes, hangs, request, launch_id, seen, wait)
        finally:
            alone = hangs.leave(launch_id)
        if ended is Ended.CLIENT_GONE and alone:
            nodes.disconnected(launch_id)
        _need(leading())
        return _respond(numbered(nodes.told(launch_id)))

    return router


def _need(leading: bool) -> None:
    """What a node says is heard by this process alone, and only its own controller tells it anything: to be
    thanked by one that does not lead would be worse than not to reach one."""
    if not leading:
        raise Refusal(503, "this controller does not lead: ask again, the leader may answer next")


async def _until_changed(
    nodes: Nodes, hangs: Hangs, request: Request, launch_id: str, seen: int, wait_s: float
) -> Ended:
    def subscribe(changed: Changed) -> Changed:
        # First watch, then look: a change between the two is seen twice, never missed.
        stop = nodes.watch(launch_id, changed)
        if numbered(nodes.told(launch_id)).number != seen:
            changed()
        return stop

    return await hangs.wait(request, subscribe, wait_s)
