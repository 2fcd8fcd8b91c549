"""S3 through obstore: its exceptions become the bucket's errors, and no conditional write is repeated."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from outlast.bucket.keys import TooBig, check_key
from outlast.bucket.transfer import SMALL_BYTES, fetch_range, send_parts
from outlast.ports import Blob, Conflict, Denied, Exists, Missing, ObjectInfo, Source, Unsure
from outlast.protocol.limits import MANIFEST_BYTES_MAX

LIST_CHUNK = 1_000

CONNECT_LIMIT_S = 5.0
REQUEST_LIMIT_S = 20.0  # of a small object; after it the outcome is in doubt
PART_LIMIT_S = 600.0
READ_STALL_S = 10.0  # a connection that died silently must not delay the look at the pointer for long
READ_RETRIES = 3
PART_RETRIES = 5

S3_QUERY_KEYS = frozenset({"endpoint", "region", "allow_http", "virtual_hosted"})
S3_OPTIONS = frozenset({"access_key_id", "secret_access_key", "session_token"})

_DENIED_CODES = frozenset(
    {
        "AccessDenied",
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "NoSuchBucket",
        "NotImplemented",
        "PermanentRedirect",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_NO_CREDENTIALS = re.compile(r"meta-data|credentials", re.IGNORECASE)


@dataclass(frozen=True)
class S3Place:
    """Where a bucket is. Without an endpoint it is AWS's own."""

    bucket: str
    endpoint: str = ""
    region: str = ""
    allow_http: bool = False
    virtual_hosted: bool = False


class S3Bucket:
    """An S3 bucket. A version is an ETag, a function of the bytes: the pointer's `seq` makes each one new."""

    def __init__(self, place: S3Place, options: Mapping[str, str]) -> None:
        self._place = place
        # A conditional write that was applied and is then repeated fails on its own first try, so those
        # are sent exactly once; what is free of doubt may be repeated.
        self._once = _store(place, options, retries=0, request_s=REQUEST_LIMIT_S)
        self._reads = _store(
            place, options, retries=READ_RETRIES, request_s=PART_LIMIT_S, stall_s=READ_STALL_S
        )
        self._parts = _store(place, options, retries=PART_RETRIES, request_s=PART_LIMIT_S)

    def get(self, key: str) -> Blob:
        check_key(key)
        with self._errors(key):
            result = obstore.get(self._reads, key)
            if result.meta["size"] > MANIFEST_BYTES_MAX:
                raise TooBig(f"{key}: too large to be read in one piece")
            return Blob(bytes(result.bytes()), _version(key, result.meta["e_tag"]))

    def create(self, key: str, body: bytes) -> str:
        check_key(key)
        with self._errors(key):
            return _version(
                key, obstore.put(self._once, key, body, mode="create", use_multipart=False)["e_tag"]
            )

    def replace(self, key: str, body: bytes, version: str) -> str:
        check_key(key)
        with self._errors(key, replacing=True):
            mode: Any = {"e_tag": version}
            return _version(key, obstore.put(self._once, key, body, mode=mode, use_multipart=False)["e_tag"])

    def put(self, key: str, body: bytes) -> None:
        check_key(key)
        with self._errors(key):
            obstore.put(self._once, key, body, use_multipart=False)

    def upload(self, key: str, source: Source, wrote: Callable[[int], None]) -> None:
        check_key(key)
        if source.size > SMALL_BYTES:
            send_parts(self._parts, key, source, wrote, self._errors)
        else:
            self._upload_small(key, source)
        wrote(source.size)

    def _upload_small(self, key: str, source: Source) -> None:
        body = bytes(source.read(0, source.size)) if source.size else b""
        try:
            self.create(key, body)
        except Exists:
            # The key is used by one content only, so this is an earlier try whose reply was lost.
            if self.get(key).body != body:
                raise

    def stream(self, key: str, offset: int, length: int) -> Iterator[bytes]:
        check_key(key)
        with self._errors(key):
            yield from fetch_range(self._reads, key, offset, length)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder, _, _ = prefix.rpartition("/")
        found: list[ObjectInfo] = []
        with self._errors(prefix):
            for batch in obstore.list(self._reads, folder or None, chunk_size=LIST_CHUNK):
                found += [ObjectInfo(o["path"], o["size"], o["e_tag"] or "") for o in batch]
        # obstore matches whole segments only, and not every store lists in key order.
        for info in sorted(found, key=lambda info: info.key.encode()):
            if info.key.startswith(prefix):
                yield info

    def delete(self, key: str) -> None:
        check_key(key)
        with self._errors(key):
            try:
                obstore.delete(self._reads, key)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise

    @contextmanager
    def _errors(self, key: str, *, replacing: bool = False) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            self._raise(key, error, replacing)

    def _raise(self, key: str, error: Exception, replacing: bool) -> NoReturn:
        """One table for all: what the store answered → what the caller can do about it."""
        text = str(error)
        status = _first(_STATUS, text)
        code = _first(_CODE, text)
        where = f"s3://{self._place.bucket}/{key}"
        if code == "NoSuchBucket":
            raise Denied(
                f"the bucket s3://{self._place.bucket} does not exist: create it, or mend its name"
            ) from error
        if isinstance(error, FileNotFoundError) or status == "404":
            if replacing:
                raise Conflict(f"{where}: it is gone") from error
            if code != "NoSuchKey" and "HEAD" not in text:
                # Any web server says 404. Taken for "no pointer yet", it would start a job at step 0.
                raise Denied(
                    f"{where}: 404, but not as an S3 store says it: is the endpoint right?"
                ) from error
            raise Missing(f"{where}: there is no such object") from error
        if status == "409":
            # Two conditional writes met. The store says neither who won nor that anybody did.
            raise Unsure(f"{where}: another write was under way (409)") from error
        if isinstance(error, AlreadyExistsError):
            raise Exists(f"{where}: exists already") from error
        if isinstance(error, PreconditionError):
            raise Conflict(f"{where}: it has changed meanwhile") from error
        if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or code in _DENIED_CODES:
            reason = code or f"status {status}"
            raise Denied(
                f"{where}: the store refuses ({reason}): check the credentials and their rights"
            ) from error
        if not status and _NO_CREDENTIALS.search(text.partition("Debug source")[0]):
            raise Denied(
                f"{where}: no credentials found for the bucket; set AWS_ACCESS_KEY_ID or a role"
            ) from error
        raise Unsure(f"{where}: {_short(text)}") from error


def _store(
    place: S3Place,
    options: Mapping[str, str],
    *,
    retries: int,
    request_s: float,
    stall_s: float | None = None,
) -> S3Store:
    unknown = sorted(set(options) - S3_OPTIONS)
    if unknown:
        raise ValueError(f"unknown bucket option {unknown[0]!r}; known are {', '.join(sorted(S3_OPTIONS))}")
    config: dict[str, Any] = {name: value for name, value in options.items() if value}
    config["conditional_put"] = "etag"
    config["virtual_hosted_style_request"] = place.virtual_hosted
    if place.region:
        config["region"] = place.region
    if place.endpoint:
        config["endpoint"] = place.endpoint
        config.setdefault("region", "us-east-1")
    else:
        # Over TLS a checksum that the store verifies costs a fifth of a signature over the payload.
        config["checksum_algorithm"] = "CRC64NVME"
        config["unsigned_payload"] = True
    client: dict[str, Any] = {
        "allow_http": place.allow_http,
        "connect_timeout": timedelta(seconds=CONNECT_LIMIT_S),
        "timeout": timedelta(seconds=request_s),
    }
    if stall_s is not None:
        client["read_timeout"] = timedelta(seconds=stall_s)
    return S3Store(
        place.bucket,
        config=config,  # type: ignore[arg-type]  # built from checked names above
        client_options=client,  # type: ignore[arg-type]
        retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=request_s)},
    )


def _version(key: str, e_tag: str | None) -> str:
    if not e_tag:
        raise Denied(f"{key}: the store gives no ETag, so nothing can be written safely; use another store")
    return e_tag


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found.group(1) if found else ""


def _short(text: str) -> str:
    return " ".join(text.partition("Debug source")[0].split())[:300]
