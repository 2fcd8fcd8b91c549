"""Puts the API together: routes, who may call them, limits and errors."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI

from outlast.protocol.limits import PROTOCOL
from outlast_orchestrator.web import problems
from outlast_orchestrator.web.auth import Door
from outlast_orchestrator.web.checkpoints import checkpoint_routes
from outlast_orchestrator.web.given import given_routes
from outlast_orchestrator.web.hang import Hangs
from outlast_orchestrator.web.jobs import job_routes
from outlast_orchestrator.web.limits import BodyLimit
from outlast_orchestrator.web.nodes import node_routes
from outlast_orchestrator.web.secrets import secret_routes
from outlast_orchestrator.web.services import Services
from outlast_orchestrator.web.things import bucket_routes

__all__ = ["Services", "create_app"]


def create_app(services: Services) -> FastAPI:
    """`app.state.hangs.stop()` ends the requests that wait, before the server is stopped."""
    hangs = Hangs()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        hangs.stop()

    app = FastAPI(title="Outlast", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.hangs = hangs
    door = Door(services.store, services.clock)
    people = [Depends(door.admin)]
    app.include_router(node_routes(services.store, services.nodes, door, hangs, services.leading))
    app.include_router(given_routes(services, door))
    app.include_router(job_routes(services, hangs), prefix="/v1", dependencies=people)
    app.include_router(checkpoint_routes(services, hangs), prefix="/v1", dependencies=people)
    app.include_router(secret_routes(services), prefix="/v1", dependencies=people)
    app.include_router(bucket_routes(services, hangs), prefix="/v1", dependencies=people)
    app.add_middleware(BodyLimit)
    problems.install(app)

    @app.get("/v1/health")
    def health() -> dict[str, Any]:
        return {
            "ok": True,
            "pid": os.getpid(),
            "protocol": PROTOCOL,
            "version": version("outlast"),
            "leading": services.leading(),
        }

    return app
