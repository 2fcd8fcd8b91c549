"""Calls of EC2 through boto3: one client a region, no retry that we do not know of, no SDK error let out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import boto3  # type: ignore[import-untyped]
import botocore.exceptions  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]

from outlast_orchestrator.core.errors import (
    Denied,
    Invalid,
    ProviderError,
    Scope,
    ScopeKind,
    Transient,
    call_scope,
)
from outlast_orchestrator.providers.aws.config import CLOUD, AwsConfig
from outlast_orchestrator.providers.aws.errors import from_call

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60  # an instant fleet answers when it has its machines, or has not
Answer = TypeVar("Answer")


class Refused(Exception):
    """EC2 itself said no, with a code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Calls:
    """Thread-safe. Capacity errors come as status 500, and the SDK would repeat those by itself: it must not.

    Everything is asked again by the controller's next tick anyway, so one attempt a call is enough.
    """

    def __init__(self, config: AwsConfig, session: Any = None) -> None:
        """`session`: of boto3; None: one of the config's profile, when it is first needed."""
        self._config = config
        self._lock = threading.Lock()
        self._session = session
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, region: str, service: str = "ec2") -> Any:
        """Raises Denied where the profile that was named does not exist."""
        with self._lock:
            if (service, region) not in self._clients:
                self._clients[service, region] = self._make(service, region)
            return self._clients[service, region]

    def run(self, op: str, region: str, call: Callable[[Any], Answer]) -> Answer:
        """`call` gets the region's client. Raises Refused, or ProviderError where EC2 was not reached."""
        try:
            return call(self.client(region))
        except botocore.exceptions.ClientError as error:
            raise _refused(error) from error
        except botocore.exceptions.BotoCoreError as error:
            raise _unreached(error, op) from error

    def ask(self, op: str, region: str, call: Callable[[Any], Answer]) -> Answer:
        """The same for a call that is about no pool. Raises ProviderError only."""
        try:
            return self.run(op, region, call)
        except Refused as error:
            raise from_call(error.code, error.message, op, region) from error

    def _make(self, service: str, region: str) -> Any:
        if self._session is None:
            self._session = boto3.session.Session(profile_name=self._config.profile or None)
        retries: Any = {"mode": "standard", "total_max_attempts": 1}
        config = Config(retries=retries, connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S)
        endpoint = self._config.endpoint_url or None
        return self._session.client(service, region_name=region, config=config, endpoint_url=endpoint)


def _refused(error: botocore.exceptions.ClientError) -> Refused:
    found = error.response.get("Error", {})
    return Refused(found.get("Code", "Unknown"), found.get("Message", "no message"))


def _unreached(error: botocore.exceptions.BotoCoreError, op: str) -> ProviderError:
    account = Scope(ScopeKind.ACCOUNT, CLOUD)
    if isinstance(error, botocore.exceptions.ParamValidationError):
        return Invalid(f"{op}: {error}", call_scope(CLOUD, op))
    if isinstance(error, _NO_CREDENTIALS):
        return Denied(f"no usable credentials for {CLOUD}: {error}", account)
    return Transient(f"{op}: {error}", call_scope(CLOUD, op))


_NO_CREDENTIALS = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.ProfileNotFound,
    botocore.exceptions.TokenRetrievalError,
    botocore.exceptions.SSOError,
)
