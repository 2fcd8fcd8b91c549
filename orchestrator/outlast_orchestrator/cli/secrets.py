"""What `outlast secret` does: values go to the server, and are shown nowhere."""

from __future__ import annotations

from urllib.parse import quote

from outlast_orchestrator.cli import output, render, typed
from outlast_orchestrator.cli.client import connect
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.jobfile.schema import check_env_name


def keep(name: str, as_json: bool) -> None:
    """The value is asked for, or read from what is piped in: never an argument, which others could see."""
    path = _path(name)
    value = typed.value(name, f"outlast secret set {name} < FILE")
    with connect() as client:
        _answer(client.put(path, {"value": value}), as_json)


def show(as_json: bool) -> None:
    with connect() as client:
        found = client.get("/v1/secrets")
    if as_json:
        output.result(found)
    elif found["secrets"]:
        rows = [[one["name"], one["kept"], ", ".join(one["jobs"]) or "-"] for one in found["secrets"]]
        render.console().print(render.table("", ["SECRET", "KEPT IN", "USED BY"], rows))
    else:
        output.say("there are no secrets; `outlast secret set NAME` makes one")


def remove(name: str, as_json: bool) -> None:
    path = _path(name)
    with connect() as client:
        _answer(client.delete(path), as_json)


def _path(name: str) -> str:
    try:
        return f"/v1/secrets/{quote(check_env_name(name), safe='')}"
    except ValueError as error:
        raise UserError(str(error)) from error


def _answer(found: dict[str, str], as_json: bool) -> None:
    if as_json:
        output.result(found)
    else:
        output.say(found["answer"])
