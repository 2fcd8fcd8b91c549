"""Cloud Storage: where a bucket is, how obstore reaches it, and what its errors mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from obstore.exceptions import BaseError
from obstore.store import GCSStore

from outlast.bucket.address import Address
from outlast.bucket.credentials import Keys, provider
from outlast.bucket.dialect import Dialect, short
from outlast.bucket.obstore_client import ObjectStoreBucket, Reach, check_options

EXAMPLE = "gs://bucket/prefix"
QUERY_KEYS = frozenset({"endpoint", "allow_http", "user_project", "kms_key"})
OPTIONS = frozenset({"service_account_key", "bearer_token"})
_KEY_NAMES = {"bearer_token": "token"}

_DENIED = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AuthenticationRequired",
        "CloudKmsBadKey",
        "CloudKmsDisabledKey",
        "CloudKmsEncryptionKeyNotFound",
        "ExpiredToken",
        "InvalidToken",
        "NotImplemented",
        "SignatureDoesNotMatch",
        "UserProjectInvalid",
        "UserProjectMissing",
    }
)


def open_gcs(address: Address, options: Mapping[str, str], keys: Keys | None = None) -> ObjectStoreBucket:
    """A version is an object's generation: a number that is never used twice. Raises ValueError."""
    check_options(options, OPTIONS)
    if address.text("kms_key"):
        raise ValueError(
            f"{address.url!r}: this kind of bucket takes its key from its own settings: gcloud storage "
            f"buckets update gs://{address.bucket} --default-encryption-key={address.text('kms_key')}"
        )
    config: dict[str, Any] = {name: value for name, value in options.items() if value}
    if address.endpoint():
        config["base_url"] = address.endpoint()
    payer = address.text("user_project")
    headers = {"x-goog-user-project": payer} if payer else None
    allow_http = address.flag("allow_http")

    def connect(reach: Reach) -> GCSStore:
        try:
            return GCSStore(
                address.bucket,
                config=config,  # type: ignore[arg-type]  # built from checked names
                client_options=reach.client(allow_http=allow_http, headers=headers),  # type: ignore[arg-type]
                retry_config=reach.retry(),
                credential_provider=provider(keys, _KEY_NAMES),
            )
        except BaseError as error:
            raise ValueError(f"{address.url!r}: {short(str(error))}") from error

    origin = address.endpoint() or "https://storage.googleapis.com"
    return ObjectStoreBucket(connect, _dialect(address.bucket, origin), address.query)


def _dialect(bucket: str, origin: str) -> Dialect:
    return Dialect(
        place=f"gs://{bucket}",
        version=lambda found: found["version"],
        over=lambda version: {"version": version},
        no_bucket=frozenset({"NoSuchBucket"}),
        no_object=frozenset({"NoSuchKey"}),
        denied=_DENIED,
        full=frozenset({"QuotaExceeded"}),
        undecided=frozenset({"OperationAborted"}),
        origin=origin,
        credentials="set GOOGLE_APPLICATION_CREDENTIALS, or give the machine a service account",
    )
