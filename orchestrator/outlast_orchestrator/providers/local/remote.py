"""Puts the agent on an instance of the local cloud and starts it."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from outlast.protocol.codec import dump
from outlast_orchestrator.core.errors import Transient, call_scope
from outlast_orchestrator.core.ports import AgentConfig, Clock
from outlast_orchestrator.core.types import Instance
from outlast_orchestrator.providers.local.client import CallRefused, Client, Unreachable
from outlast_orchestrator.providers.local.config import CLOUD
from outlast_orchestrator.providers.local.control import address_of
from outlast_orchestrator.providers.local.errors import from_call

FOLDER = "outlast"  # below the instance's home: the agent's own place
CONFIG_FILE = f"{FOLDER}/agent.json"
AGENT_RESTARTS = 5
WRITE_LIMIT_S = 30.0
# Written beside and renamed, so that the agent never reads half of it; nobody else may read the token.
_WRITE = f"umask 077; mkdir -p {FOLDER} && cat > {CONFIG_FILE}.new && mv {CONFIG_FILE}.new {CONFIG_FILE}"

_START = f'exec "$0" "$@" --config "$HOME/{CONFIG_FILE}"'


class LocalRemote:
    """Implements `core.ports.Remote`. Agents reach the API through the relay of their instance."""

    def __init__(
        self,
        state_dir: Path,
        clock: Clock,
        *,
        restarts: int = AGENT_RESTARTS,
        agent: Sequence[str] = (sys.executable, "-I", "-m", "outlast"),
    ) -> None:
        """`agent` is the command that gets `--config FILE`: the agent of this very installation."""
        self._client = Client(state_dir.resolve())
        self._clock = clock
        self._restarts = restarts
        self._agent = tuple(agent)

    def install(self, instance: Instance, config: AgentConfig) -> None:
        try:
            seen = self._find(instance)
            self._client.call("set_api", address=address_of(config.api_url), instance=seen["id"])
            body = dump(replace(config, api_url=relayed(config.api_url, seen["relay_port"])))
            ran = self._client.call(
                "execute",
                instance=seen["id"],
                argv=["/bin/sh", "-c", _WRITE],
                stdin=base64.b64encode(body).decode(),
                timeout_s=WRITE_LIMIT_S,
            )
            if ran["code"]:
                text = f"{seen['id']}: the agent's config can't be written: {ran['stderr'].strip()}"
                raise Transient(text, call_scope(CLOUD, "install"))
            self._client.call(
                "start",
                instance=seen["id"],
                name="agent",
                key=hashlib.sha256(body).hexdigest(),
                argv=["/bin/sh", "-c", _START, *self._agent],
                restarts=self._restarts,
            )
        except (CallRefused, Unreachable) as error:
            raise from_call(error, "install") from error

    def _find(self, instance: Instance) -> dict[str, Any]:
        offer = instance.offer
        for one in self._client.call("instances", region=offer.region):
            if one["id"] == instance.id or (not instance.id and one["launch_id"] == instance.launch_id):
                found: dict[str, Any] = one
                return found
        text = f"the instance {instance.id or instance.launch_id} is not listed in {offer.region}"
        raise Transient(text, call_scope(CLOUD, "install"))


def relayed(url: str, port: int) -> str:
    """The same URL by way of the relay."""
    return urlunsplit(urlsplit(url)._replace(netloc=f"127.0.0.1:{port}"))
