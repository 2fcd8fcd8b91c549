"""S3 and what speaks like it: where a bucket is, how obstore reaches it, and what its errors mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from obstore.store import S3Store

from outlast.bucket.dialect import Dialect
from outlast.bucket.obstore_client import ObjectStoreBucket, Reach, check_options

QUERY_KEYS = frozenset({"endpoint", "region", "allow_http", "virtual_hosted", "checksum"})
CHECKSUMS = ("crc64nvme", "signature")
OPTIONS = frozenset({"access_key_id", "secret_access_key", "session_token"})

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


@dataclass(frozen=True)
class S3Place:
    """Where a bucket is. Without an endpoint it is Amazon's own."""

    bucket: str
    endpoint: str = ""
    region: str = ""
    allow_http: bool = False
    virtual_hosted: bool = False
    checksum: str = CHECKSUMS[0]  # signature: of the payload, for a store that knows no such checksum


def open_s3(place: S3Place, options: Mapping[str, str]) -> ObjectStoreBucket:
    """A version is an ETag, a function of the bytes: the pointer's `seq` makes each one new."""
    check_options(options, OPTIONS)
    config = _config(place, options)

    def connect(reach: Reach) -> S3Store:
        return S3Store(
            place.bucket,
            config=config,  # type: ignore[arg-type]  # built from checked names
            client_options=reach.client(allow_http=place.allow_http),  # type: ignore[arg-type]
            retry_config=reach.retry(),
        )

    return ObjectStoreBucket(connect, _dialect(place))


def _dialect(place: S3Place) -> Dialect:
    return Dialect(
        place=f"s3://{place.bucket}",
        version=lambda found: found["e_tag"],
        over=lambda version: {"e_tag": version},
        no_bucket=frozenset({"NoSuchBucket"}),
        no_object=frozenset({"NoSuchKey"}),
        denied=_DENIED,
        full=_FULL,
        undecided=frozenset({"ConditionalRequestConflict", "OperationAborted"}),
        credentials="set AWS_ACCESS_KEY_ID or a role",
    )


def _config(place: S3Place, options: Mapping[str, str]) -> dict[str, Any]:
    config: dict[str, Any] = {name: value for name, value in options.items() if value}
    config["conditional_put"] = "etag"
    config["virtual_hosted_style_request"] = place.virtual_hosted
    if place.region:
        config["region"] = place.region
    if place.endpoint:
        config["endpoint"] = place.endpoint
        config.setdefault("region", "us-east-1")
    if place.checksum == CHECKSUMS[0] and not place.allow_http:
        # Over TLS a checksum that the store verifies costs a fifth of a signature over the payload.
        config["checksum_algorithm"] = "CRC64NVME"
        config["unsigned_payload"] = True
    return config
