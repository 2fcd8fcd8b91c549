"""S3 and what speaks like it: where a bucket is, how obstore reaches it, and what its errors mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from obstore.exceptions import BaseError
from obstore.store import S3Store

from outlast.bucket.address import Address
from outlast.bucket.credentials import Keys, provider
from outlast.bucket.dialect import Dialect, short
from outlast.bucket.obstore_client import ObjectStoreBucket, Reach, check_options

EXAMPLE = "s3://bucket/prefix"
QUERY_KEYS = frozenset(
    {"endpoint", "region", "allow_http", "virtual_hosted", "checksum", "kms_key", "requester_pays"}
)
CHECKSUMS = ("crc64nvme", "signature")  # the second: of the payload, for a store that knows no such checksum
OPTIONS = frozenset({"access_key_id", "secret_access_key", "session_token"})
_KEY_NAMES = {
    "access_key_id": "access_key_id",
    "secret_access_key": "secret_access_key",
    "session_token": "token",
}

_DENIED = frozenset(
    {
        "AccessDenied",
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "NotImplemented",
        "PermanentRedirect",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
_FULL = frozenset({"QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage"})


def open_s3(address: Address, options: Mapping[str, str], keys: Keys | None = None) -> ObjectStoreBucket:
    """A version is an ETag, a function of the bytes: the pointer's `seq` makes each one new.

    Raises ValueError.
    """
    check_options(options, OPTIONS)
    config = _config(address, options)
    allow_http = address.flag("allow_http")

    def connect(reach: Reach) -> S3Store:
        try:
            return S3Store(
                address.bucket,
                config=config,  # type: ignore[arg-type]  # built from checked names
                client_options=reach.client(allow_http=allow_http),  # type: ignore[arg-type]
                retry_config=reach.retry(),
                credential_provider=provider(keys, _KEY_NAMES),
            )
        except BaseError as error:
            raise ValueError(f"{address.url!r}: {short(str(error))}") from error

    # Who asks pays: that is told in a header, which a signed URL does not carry.
    signs_here = not address.flag("requester_pays")
    dialect = _dialect(address.bucket, _origin(address))
    return ObjectStoreBucket(connect, dialect, address.query, signs_here=signs_here)


def _origin(address: Address) -> str:
    region = address.text("region")
    return address.endpoint() or (
        f"https://s3.{region}.amazonaws.com" if region else "https://s3.amazonaws.com"
    )


def _dialect(bucket: str, origin: str) -> Dialect:
    return Dialect(
        place=f"s3://{bucket}",
        version=lambda found: found["e_tag"],
        over=lambda version: {"e_tag": version},
        no_bucket=frozenset({"NoSuchBucket"}),
        no_object=frozenset({"NoSuchKey"}),
        denied=_DENIED,
        full=_FULL,
        undecided=frozenset({"ConditionalRequestConflict", "OperationAborted"}),
        origin=origin,
        credentials="set AWS_ACCESS_KEY_ID or a role",
    )


def _checksum(address: Address) -> str:
    found = address.text("checksum") or CHECKSUMS[0]
    if found not in CHECKSUMS:
        raise ValueError(f"{address.url!r}: checksum={found}: write {' or '.join(CHECKSUMS)}")
    return found


def _config(address: Address, options: Mapping[str, str]) -> dict[str, Any]:
    config: dict[str, Any] = {name: value for name, value in options.items() if value}
    config["conditional_put"] = "etag"
    config["virtual_hosted_style_request"] = address.flag("virtual_hosted")
    if address.text("region"):
        config["region"] = address.text("region")
    if address.text("kms_key"):
        config["server_side_encryption"] = "aws:kms"
        config["sse_kms_key_id"] = address.text("kms_key")
    if address.flag("requester_pays"):
        config["request_payer"] = True
    if address.endpoint():
        config["endpoint"] = address.endpoint()
        config.setdefault("region", "us-east-1")
    if _checksum(address) == CHECKSUMS[0] and not address.flag("allow_http"):
        # Over TLS a checksum that the store verifies costs a fifth of a signature over the payload.
        config["checksum_algorithm"] = "CRC64NVME"
        config["unsigned_payload"] = True
    return config
