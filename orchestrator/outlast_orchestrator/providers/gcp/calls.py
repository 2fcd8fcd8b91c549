"""Calls of Compute Engine through its SDK: no retry that we do not know of, no SDK error let out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from google.api_core import exceptions as api
from google.api_core.client_options import ClientOptions
from google.auth import exceptions as auth
from google.cloud import compute_v1

from outlast_orchestrator.core.errors import Denied, ProviderError, Scope, ScopeKind, Transient, call_scope
from outlast_orchestrator.providers.gcp.config import CLOUD, GcpConfig
from outlast_orchestrator.providers.gcp.errors import from_call

TIMEOUT_S = 30.0
Answer = TypeVar("Answer")


class Refused(Exception):
    """Compute Engine itself said no. `code`: the reason it gives, or ""."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(f"{code or status}: {message}")
        self.code = code
        self.message = message
        self.status = status


class Calls:
    """Thread-safe. `retry=None` everywhere: the controller's next tick asks again anyway."""

    def __init__(self, config: GcpConfig, credentials: Any = None) -> None:
        """`credentials`: of google.auth; None: as the SDK finds them."""
        self._options = ClientOptions(api_endpoint=config.endpoint_url) if config.endpoint_url else None
        self._credentials = credentials
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def run(self, op: str, kind: str, method: str, request: Any, timeout_s: float = TIMEOUT_S) -> Any:
        """E.g. `InstancesClient`'s `get`. Raises Refused, or ProviderError where nobody answered."""
        return _guarded(
            op, lambda: getattr(self._client(kind), method)(request, retry=None, timeout=timeout_s)
        )

    def ask(self, op: str, kind: str, method: str, request: Any, timeout_s: float = TIMEOUT_S) -> Any:
        """The same for a call that is about no pool. Raises ProviderError only."""
        return self.all(op, lambda: self.run(op, kind, method, request, timeout_s))

    def all(self, op: str, call: Callable[[], Answer]) -> Answer:
        """For what asks for more pages while it is read. Raises ProviderError only."""
        try:
            return _guarded(op, call)
        except Refused as error:
            raise from_call(error.code, error.message, error.status, op) from error

    def _client(self, kind: str) -> Any:
        with self._lock:
            if kind not in self._clients:
                make = getattr(compute_v1, kind)
                self._clients[kind] = make(credentials=self._credentials, client_options=self._options)
            return self._clients[kind]


def _guarded(op: str, call: Callable[[], Answer]) -> Answer:
    try:
        return call()
    except api.GoogleAPICallError as error:
        raise Refused(_reason(error), error.message or str(error), int(error.code or 0)) from error
    except (auth.DefaultCredentialsError, auth.RefreshError) as error:
        raise Denied(
            f"no usable credentials for {CLOUD}: {error}", Scope(ScopeKind.ACCOUNT, CLOUD)
        ) from error
    except (api.GoogleAPIError, auth.GoogleAuthError, OSError) as error:
        raise _unreached(op, error) from error


def _unreached(op: str, error: Exception) -> ProviderError:
    return Transient(f"{op}: {error}", call_scope(CLOUD, op))


def _reason(error: api.GoogleAPICallError) -> str:
    for one in error.errors:
        reason = one.get("reason") if isinstance(one, dict) else None
        if reason:
            return str(reason)
    return str(error.reason or "")
