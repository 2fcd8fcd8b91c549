"""Keys of Blob Storage for one job: a signature for its folder, by a key that this server's identity gets.

https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from azure.core import exceptions
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient, generate_blob_sas

from outlast.bucket import blobs
from outlast.bucket.address import Address
from outlast.bucket.keys import check_key
from outlast.ports import Denied, Unsure
from outlast.protocol.messages import BucketKeys
from outlast.protocol.objects import job_prefix
from outlast_orchestrator.storage.clock import CheckClock

LIFE_S, LIFE_MIN_S, LIFE_MAX_S = 3600, 900, 43_200
SKEW_S = 900.0  # clocks differ: Microsoft's own advice for a start
ALLOWED = "rcwdl"  # read, create, write, delete, list
CONNECT_LIMIT_S, READ_LIMIT_S = 5, 10
ROLE = "Storage Blob Delegator"
_BUSY = frozenset({408, 429})


@dataclass(frozen=True)
class SignatureOptions:
    """`endpoint_url`, `ca_file`: where the key that signs is asked for, and what that is trusted by; "": the
    bucket's own address, and what this machine trusts."""

    life_s: int = LIFE_S
    endpoint_url: str = ""
    ca_file: str = ""

    def __post_init__(self) -> None:
        if not LIFE_MIN_S <= self.life_s <= LIFE_MAX_S:
            raise ValueError(f"life_s: {self.life_s}: write {LIFE_MIN_S} to {LIFE_MAX_S} seconds")
        if self.endpoint_url and not self.endpoint_url.startswith("https://"):
            told = f"endpoint_url: {self.endpoint_url}"
            raise ValueError(f"{told}: write an address that begins with https://: a token is shown there")


@dataclass(frozen=True)
class _Signer:
    key: Any  # of the SDK
    ends_at: float


class FolderSignatures:
    """Implements `core.ports.Credentials`. Safe from any thread.

    The key that signs is asked for once in a while, not for each job: it lives for two signatures.
    """

    def __init__(self, options: SignatureOptions, clock: CheckClock, credentials: Any = None) -> None:
        """`credentials`: a token credential of the SDK; None: as it finds them."""
        self._options = options
        self._clock = clock
        self._credentials = credentials
        self._lock = threading.Lock()
        self._signers: dict[str, _Signer] = {}  # by where they are asked for

    @property
    def about(self) -> str:
        return f"signatures for the job's folder by this server's identity, for {self._options.life_s} s"

    def issue(self, storage: str, job: str) -> BucketKeys:
        address = blobs.address_of(storage)
        folder, account = folder_of(address, job), address.text("account")
        if not account:
            raise Denied(f"{storage!r}: name the storage account: add ?account=NAME")
        ends_at = self._clock.wall_s() + self._options.life_s
        signature = generate_blob_sas(
            account,
            address.bucket,
            folder,
            user_delegation_key=self._signer(blobs.origin_of(address), ends_at).key,
            permission=ALLOWED,
            expiry=_time(ends_at),
            # As the bucket is reached: plain HTTP only where its URL says that this is meant.
            protocol="https,http" if address.flag("allow_http") else "https",
            is_directory=True,
        )
        return BucketKeys({blobs.SIGNATURE: signature}, float(self._options.life_s))

    def _signer(self, origin: str, ends_at: float) -> _Signer:
        """One that lives as long as that. Raises BucketError."""
        origin = self._options.endpoint_url or origin
        with self._lock:
            found = self._signers.get(origin)
            if found is None or found.ends_at < ends_at:
                found = self._signers[origin] = self._ask(origin, ends_at + self._options.life_s)
            return found

    def _ask(self, origin: str, ends_at: float) -> _Signer:
        if not origin.startswith("https://"):
            raise Denied(
                f"{origin} gives this server no key to sign with: its identity speaks https alone; "
                "set storage_keys.endpoint_url"
            )
        if self._credentials is None:
            self._credentials = DefaultAzureCredential()
        try:
            with BlobServiceClient(
                origin,
                self._credentials,
                connection_verify=self._options.ca_file or True,
                connection_timeout=CONNECT_LIMIT_S,
                read_timeout=READ_LIMIT_S,
                retry_total=0,
            ) as client:
                begins = _time(self._clock.wall_s() - SKEW_S)
                return _Signer(client.get_user_delegation_key(begins, _time(ends_at)), ends_at)
        except exceptions.AzureError as error:
            raise _refused(error, origin) from error


def folder_of(address: Address, job: str) -> str:
    """The job's, in the whole container. Pure. Raises Denied for a prefix that Azure reads as another one."""
    folder = address.below(job_prefix(job)).strip("/")
    try:
        check_key(folder)
    except Denied as error:
        raise Denied(f"the prefix can't be signed for: use another one: {error}") from error
    return folder


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(int(at), timezone.utc)


def _refused(error: exceptions.AzureError, origin: str) -> Denied | Unsure:
    told = f"{origin} gives this server no key to sign with"
    if not isinstance(error, exceptions.HttpResponseError):
        return Unsure(f"{told}: it was not reached: {error}")
    status = error.status_code
    if status is None:  # its identity was not had
        return Denied(f"{told}: this server has no credentials: {' '.join(str(error.message).split())}")
    code = getattr(error, "error_code", None) or status
    if status in _BUSY or status >= 500:
        return Unsure(f"{told}: {code}")
    mend = f"; give it the role {ROLE} on the storage account" if status == 403 else ""
    return Denied(f"{told}: {code}{mend}")
