"""People's secrets over the API: their names are shown, their values only ever go in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator

from outlast_orchestrator.jobfile.schema import check_env_name
from outlast_orchestrator.web.asks import SecretAsk
from outlast_orchestrator.web.problems import Refusal
from outlast_orchestrator.web.services import Services

SecretName = Annotated[str, AfterValidator(check_env_name)]


def secret_routes(services: Services) -> APIRouter:
    router = APIRouter(prefix="/secrets")

    @router.get("")
    def names() -> dict[str, Any]:
        known = {} if services.secrets is None else services.secrets.names()
        rows = [{"name": name, "kept": kept, "jobs": _users(services, name)} for name, kept in known.items()]
        return {"secrets": rows}

    @router.put("/{name}")
    def put(name: SecretName, ask: SecretAsk) -> dict[str, Any]:
        if services.secrets is None:
            raise Refusal(404, "this server keeps no secrets")
        services.secrets.set(name, ask.value)
        return {"name": name, "answer": f"{name} is kept; jobs get it at their next start"}

    @router.delete("/{name}")
    def delete(name: SecretName) -> dict[str, Any]:
        if services.secrets is None or not services.secrets.remove(name):
            raise Refusal(404, f"there is no secret {name} that was set here")
        return {"name": name, "answer": f"{name} is removed"}

    return router


def _users(services: Services, secret: str) -> list[str]:
    """The living jobs that name it."""
    named = [job.name for job in services.store.jobs() if secret in job.work.secrets]
    return sorted({name for name in named if services.living(name)})
