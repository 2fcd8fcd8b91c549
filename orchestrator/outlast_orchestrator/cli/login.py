"""What `outlast login` and `outlast logout` do: which server commands talk to from here."""

from __future__ import annotations

import os
from pathlib import Path

from outlast_orchestrator.cli import output, typed
from outlast_orchestrator.cli.client import Client, Server, check_url, home
from outlast_orchestrator.cli.remote import forget, remember
from outlast_orchestrator.core.errors import UserError


def login(url: str, ca_file: Path | None, as_json: bool) -> None:
    """The token is typed or piped in, tried, and only then remembered."""
    check_url(url, "the address")
    trust = "" if ca_file is None else str(ca_file.absolute())
    token = typed.value(f"admin token of {url}", f"outlast login {url} < FILE").strip()
    server = Server(url.rstrip("/"), token, trust)
    with Client(server) as client:
        jobs = len(client.get("/v1/jobs")["jobs"])
    file = remember(home(), server.url, token, trust)
    if os.environ.get("OUTLAST_URL"):
        output.note("OUTLAST_URL is set, and wins over what is remembered: unset it")
    if as_json:
        output.result({"url": server.url, "jobs": jobs, "remembered": str(file)})
    else:
        output.say(f"logged in to {server.url} ({jobs} jobs there); {file} says so from now on")


def logout(as_json: bool) -> None:
    if not forget(home()):
        raise UserError("not logged in anywhere: commands talk to the server of this machine")
    if as_json:
        output.result({"url": ""})
    else:
        output.say("logged out: commands talk to the server of this machine again")
