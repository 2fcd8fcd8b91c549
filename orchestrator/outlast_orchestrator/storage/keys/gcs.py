"""Tokens of Cloud Storage for one job: this server's own, cut down to the job's prefix by a boundary."""

from __future__ import annotations

import threading
from calendar import timegm
from dataclasses import dataclass
from typing import Any

import google.auth
from google.auth import downscoped, exceptions, impersonated_credentials
from google.auth.transport.requests import Request
from google.oauth2 import sts

from outlast.bucket import gcs
from outlast.bucket.address import Address, read_address
from outlast.ports import Denied, Unsure
from outlast.protocol.messages import BucketKeys
from outlast.protocol.objects import job_prefix
from outlast_orchestrator.storage.clock import CheckClock

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
EXCHANGE = "https://sts.googleapis.com/v1/token"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
ROLE = "inRole:roles/storage.objectUser"
LEFT_MIN_S = 1800.0  # a token of this server that ends sooner is not worth cutting down
LIFE_S = 3600.0


@dataclass(frozen=True)
class BoundaryOptions:
    """`service_account`: whose rights are cut down; "": this server's own."""

    service_account: str = ""
    endpoint_url: str = EXCHANGE


class BoundaryTokens:
    """Implements `core.ports.Credentials`. Safe from any thread."""

    def __init__(self, options: BoundaryOptions, clock: CheckClock, source: Any = None) -> None:
        """`source`: of google.auth; None: as the SDK finds them."""
        self._options = options
        self._clock = clock
        self._source = source
        self._lock = threading.Lock()
        self._request = Request()
        self._exchange = sts.Client(options.endpoint_url)

    @property
    def about(self) -> str:
        whose = self._options.service_account or "this server's own account"
        return f"tokens of {whose}, cut down to the job"

    def issue(self, storage: str, job: str) -> BucketKeys:
        rules = boundary(read_address(storage, gcs.QUERY_KEYS, gcs.EXAMPLE), job)
        try:
            own, left_s = self._own()
            found = self._exchange.exchange_token(
                request=self._request,
                grant_type=GRANT,
                subject_token=own,
                subject_token_type=ACCESS_TOKEN,
                requested_token_type=ACCESS_TOKEN,
                additional_options=rules.to_json(),
            )
        except exceptions.TransportError as error:
            raise Unsure(f"the tokens' service was not reached: {error}") from error
        except exceptions.GoogleAuthError as error:
            raise Denied(f"no token for one job can be made: {error}") from error
        return BucketKeys(
            {"bearer_token": found["access_token"]}, min(left_s, found.get("expires_in") or left_s)
        )

    def _own(self) -> tuple[str, float]:
        """A token of the account itself, and how long it is valid, in seconds."""
        with self._lock:
            if self._source is None:
                self._source = self._find()
            if not self._source.token or self._left_s() < LEFT_MIN_S:
                self._source.refresh(self._request)
            return self._source.token, self._left_s()

    def _left_s(self) -> float:
        if self._source.expiry is None:
            return LIFE_S
        return timegm(self._source.expiry.utctimetuple()) - self._clock.wall_s()

    def _find(self) -> Any:
        own, _ = google.auth.default(scopes=[SCOPE])
        if not self._options.service_account:
            return own
        return impersonated_credentials.Credentials(
            own, self._options.service_account, [SCOPE], lifetime=LIFE_S
        )


def boundary(address: Address, job: str) -> downscoped.CredentialAccessBoundary:
    """Objects below the prefix, and lists of it. Pure. Raises Denied for a prefix that a condition can't say.

    https://cloud.google.com/iam/docs/downscoping-short-lived-credentials
    """
    prefix = address.below(job_prefix(job))
    if set("'\\") & set(prefix):
        raise Denied(f"the prefix {prefix!r} has a quote or a backslash: use another one")
    listed = "api.getAttribute('storage.googleapis.com/objectListPrefix', '')"
    objects = f"projects/_/buckets/{address.bucket}/objects/{prefix}"
    condition = downscoped.AvailabilityCondition(
        f"resource.name.startsWith('{objects}') || {listed}.startsWith('{prefix}')"
    )
    rule = downscoped.AccessBoundaryRule(
        available_resource=f"//storage.googleapis.com/projects/_/buckets/{address.bucket}",
        available_permissions=[ROLE],
        availability_condition=condition,
    )
    return downscoped.CredentialAccessBoundary([rule])
