"""Calls of Azure through its SDKs: no retry that we do not know of, no SDK error let out."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from azure.core import PipelineClient
from azure.core import exceptions as sdk
from azure.core.pipeline.policies import ContentDecodePolicy, RequestIdPolicy, UserAgentPolicy
from azure.core.rest import HttpRequest
from azure.identity import DefaultAzureCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy
from azure.mgmt.network import NetworkManagementClient

from outlast_orchestrator.core.errors import Denied, Transient, call_scope
from outlast_orchestrator.providers.azure.config import CLOUD, ENDPOINT, AzureConfig
from outlast_orchestrator.providers.azure.errors import ACCOUNT, Refusal, from_call

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10, 60
POLL_S = 5  # of an operation that is under way, where Azure asks for nothing else
CREDENTIALS_AGAIN_S = 300.0  # that none were found may be a network's fault as well
DEPTH_MAX = 5
COMPUTE, NETWORK, PLAIN, PRICES = "compute", "network", "plain", "prices"
Answer = TypeVar("Answer")
_CODE = re.compile(r'\\*"code\\*"\s*:\s*\\*"(\w+)')


class Refused(Exception):
    """Azure itself said no."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


class Calls:
    """Thread-safe. One attempt a call: the controller's next tick asks again anyway."""

    def __init__(self, config: AzureConfig, credentials: Any = None) -> None:
        """`credentials`: a token credential of the SDK; None: as it finds them, when first needed."""
        self._config = config
        self._credentials = credentials
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self.subscription = f"/subscriptions/{config.subscription}"

    def run(self, op: str, call: Callable[[Any], Answer], client: str = COMPUTE) -> Answer:
        """`call` gets the client. Raises Refused, or ProviderError where nobody answered."""
        try:
            return call(self._client(client))
        except sdk.HttpResponseError as error:
            if _is_about_credentials(error):
                words = f"no usable credentials for {CLOUD}: {error}"
                raise Denied(words, ACCOUNT, CREDENTIALS_AGAIN_S) from error
            refusal = _refusal(error)
            if not refusal.status and not refusal.codes:  # no answer, or one that can't be read
                raise Transient(f"{op}: {error}", call_scope(CLOUD, op)) from error
            raise Refused(refusal) from error
        except (sdk.AzureError, OSError, ValueError) as error:  # the last: what is no JSON
            raise Transient(f"{op}: {error}", call_scope(CLOUD, op)) from error

    def ask(self, op: str, call: Callable[[Any], Answer], client: str = COMPUTE) -> Answer:
        """The same for a call that is about no pool. Raises ProviderError only."""
        try:
            return self.run(op, call, client)
        except Refused as error:
            raise from_call(error.refusal, op) from error

    def all(self, op: str, call: Callable[[Any], Any], client: str = COMPUTE) -> list[dict[str, Any]]:
        """Every page of a list, as the JSON that was sent. Raises ProviderError only."""
        return self.ask(op, lambda found: [one.as_dict() for one in call(found)], client)

    def machine(self, op: str, name: str) -> dict[str, Any] | None:
        """With what it says of its own making; None when it is not there. Raises ProviderError only."""
        where = self._config.resource_group
        try:
            found = self.run(op, lambda sdk: sdk.virtual_machines.get(where, name, expand="instanceView"))
        except Refused as error:
            if error.refusal.absent:
                return None
            raise from_call(error.refusal, op) from error
        return dict(found.as_dict())

    def read(self, op: str, path: str, query: Mapping[str, str], client: str = PLAIN) -> list[dict[str, Any]]:
        """The same for what neither SDK knows."""
        return self.ask(op, lambda found: list(_pages(found, path, query)), client)

    def _client(self, kind: str) -> Any:
        with self._lock:
            if kind not in self._clients:
                self._clients[kind] = self._make(kind)
            return self._clients[kind]

    def _make(self, kind: str) -> Any:
        how: dict[str, Any] = {
            "connection_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "connection_verify": self._config.ca_file or True,
        }
        if kind == PRICES:
            return PipelineClient[Any, Any](self._config.prices_url, policies=_policies(), **how)
        if self._credentials is None:
            self._credentials = DefaultAzureCredential()
        endpoint = (self._config.endpoint_url or ENDPOINT).rstrip("/")
        how["policies"] = _policies(
            ARMChallengeAuthenticationPolicy(self._credentials, f"{endpoint}/.default")
        )
        if kind == PLAIN:
            return PipelineClient[Any, Any](endpoint, **how)
        make = ComputeManagementClient if kind == COMPUTE else NetworkManagementClient
        return make(self._credentials, self._config.subscription, endpoint, polling_interval=POLL_S, **how)


def _policies(*more: Any) -> list[Any]:
    """Chosen by us: the SDK's own would try again, and would register a provider with the subscription
    unasked, and wait for that without end."""
    return [RequestIdPolicy(), UserAgentPolicy("outlast"), ContentDecodePolicy(), *more]


def _pages(client: Any, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    request = HttpRequest("GET", client.format_url(path), params=dict(query))
    while True:
        response = client.send_request(request)
        response.raise_for_status()
        page = response.json()
        yield from page.get("value") or page.get("Items") or ()  # the second: of the price list
        more = page.get("nextLink") or page.get("NextPageLink")
        if not more:
            return
        request = HttpRequest("GET", more)


def _is_about_credentials(error: sdk.HttpResponseError) -> bool:
    """They could not be had; that Azure does not take them is its own refusal, with status 401."""
    return isinstance(error, sdk.ClientAuthenticationError) and error.status_code != 401


def _refusal(error: sdk.HttpResponseError) -> Refusal:
    """An operation that failed is told in an answer whose own status is a success."""
    status = error.status_code or 0
    found = list(_said(error.error)) if error.error else []
    words = "; ".join(dict.fromkeys(message for _, message in found if message)) or str(error)
    said = [code for code, _ in found if code] + _CODE.findall(words)
    return Refusal(
        tuple(dict.fromkeys(said)), words, status if status >= 400 else 0, _retry_after_s(error.response)
    )


def _said(one: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Codes and messages, from the outside in."""
    yield str(one.code or ""), str(one.message or "")
    if depth < DEPTH_MAX:
        for inner in one.details or ():
            yield from _said(inner, depth + 1)


def _retry_after_s(response: Any) -> float | None:
    try:
        return None if response is None else float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None  # absent, or a date
